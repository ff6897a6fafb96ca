#!/usr/bin/env bash
# Runs the program on every scenario and every planning problem of inputs/scenarios, twice where bytes are compared.
#   tests/scenarios.sh build/NAME/jobs/windlass
set -euo pipefail
cd "$(dirname "$0")/.."
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fails() { printf 'scenarios: %s\n' "$*" >&2; exit 1; }

"$program" simulate --help | grep -q -- --sweep || fails "simulate --help does not name --sweep"
"$program" plan --help | grep -q -- --rows || fails "plan --help does not name --rows"
for scenario in inputs/scenarios/*.json; do
  case $scenario in */plan_*) continue ;; esac
  "$program" simulate "$scenario" --output "$work/a" >"$work/a.txt" || fails "$scenario"
  for file in report.json report.csv attainment.svg; do [ -s "$work/a/$file" ] || fails "$scenario: no $file"; done
done
"$program" simulate inputs/scenarios/distserve.json --jobs 1 --output "$work/b" >"$work/b.txt"
"$program" simulate inputs/scenarios/distserve.json --jobs 2 --output "$work/c" >"$work/c.txt"
for file in report.json report.csv attainment.svg; do
  cmp "$work/b/$file" "$work/c/$file" || fails "$file differs between two runs"
done
"$program" simulate inputs/scenarios/pdserve.json --sweep rate=4:12:4 | grep -q '^goodput' || fails "no goodput"
"$program" plan inputs/scenarios/plan_smollm2_cpu.json >"$work/plan.txt" || fails "plan fails"
grep -qi disaggregate "$work/plan.txt" || fails "plan gives no advice"
grep -q -- "--layout mixed=[0-9]*xtp[0-9]*'\$" "$work/plan.txt" || fails "plan prints no layout that batch takes"
"$program" plan --model inputs/reference/llama-gqa --prompt-tokens 200 --output-tokens 20 --ttft-ms 500 >"$work/here.txt" ||
  fails "plan for this machine: $(cat "$work/here.txt")"
for words in '^machine: .* cores in [0-9]* ranks' '^model: ' isaggregate 'sbatch --nodes=1' -- '--layout '; do
  [ "$words" = -- ] || grep -q -- "$words" "$work/here.txt" || fails "plan --model says nothing of $words"
done
"$program" plan inputs/scenarios/plan_models.json >"$work/models.txt" || fails "plan of several models"
grep -q -- "--model chat-7b .*--layout mixed=1xtp[0-9] &\$" "$work/models.txt" || fails "no job: $(cat "$work/models.txt")"
! "$program" plan --model inputs/reference/llama-gqa --ranks 100000 2>"$work/error" || fails "100000 ranks pass"
grep -q 'ranks 100000' "$work/error" || fails "too many ranks are not named: $(cat "$work/error")"

! "$program" simulate "$work/none.json" 2>"$work/error" || fails "a missing file passes"
grep -q none.json "$work/error" || fails "the missing file is not named"
sed 's/"role": "mixed"/"role": "mixd"/' inputs/scenarios/distserve.json >"$work/bad.json"
! "$program" simulate "$work/bad.json" 2>"$work/error" || fails "a misspelt role passes"
grep -q 'bad.json:[0-9]*: clusters\[1\].instances\[0\].role: .*allowed: prefill, decode, mixed' "$work/error" ||
  fails "the misspelt role is not explained: $(cat "$work/error")"
! "$program" simulate inputs/scenarios/pdserve.json --sweep rate=3 2>"$work/error" || fails "a bad sweep passes"
# What a job recorded is planned again, and a changed record is told.
model=inputs/reference/llama-gqa
for i in 1 2 3; do
  echo '{"custom_id": "'$i'", "method": "POST", "url": "/v1/completions", "body": {"prompt": [5, 6, 7, 8, 9], "max_tokens": 4}}'
done >"$work/in.jsonl"
"$program" batch --model $model --input "$work/in.jsonl" --output "$work/out.jsonl" --record "$work/plans.jsonl" \
  --threads 1 --quiet || fails "batch --record"
"$program" simulate --replay "$work/plans.jsonl" >"$work/replay.txt" || fails "the replay differs: $(cat "$work/replay.txt")"
for policy in step_batching layout walltime; do
  grep -q "^$policy: [1-9]" "$work/replay.txt" || fails "no plan of $policy was recorded: $(cat "$work/replay.txt")"
done
grep -q 'all plans are the same' "$work/replay.txt" || fails "the replay says nothing"
sed 's/"plan":{"shares":\[\[1,5\]/"plan":{"shares":[[1,4]/' "$work/plans.jsonl" >"$work/changed.jsonl"
! cmp -s "$work/plans.jsonl" "$work/changed.jsonl" || fails "the record was not changed: $(head -1 "$work/plans.jsonl")"
! "$program" simulate --replay "$work/changed.jsonl" >"$work/replay.txt" || fails "a changed plan passes"
grep -q 'changed.jsonl:[0-9]*: step_batching' "$work/replay.txt" || fails "the difference is not named: $(cat "$work/replay.txt")"

# Steps of this machine, and a simulation with them.
"$program" bench --model $model --profile "$work/profile.json" --max-num-seqs 4 --max-num-batched-tokens 32 \
  --max-context 64 --repetitions 2 --threads 1 >"$work/bench.txt" 2>"$work/error" || fails "bench: $(cat "$work/error")"
grep -q 'prompt of' "$work/bench.txt" || fails "bench prints no table"
cat >"$work/measured.json" <<'END'
{"workload": {"kind": "drawn", "requests": 20, "rate_per_s": 10, "lengths": {"prompt": 50, "output": 20}},
 "service_level": {"ttft_ms": 1000, "tpot_ms": 100},
 "cluster": {"kind": "pipelines", "steps": {"kind": "measured", "path": "profile.json"}, "in_flight": 4,
             "instances": [{"role": "mixed", "chunk_tokens": 32, "max_prompts": 4}]}}
END
"$program" simulate "$work/measured.json" --trace 0:1 --output "$work/d" >"$work/d.txt" || fails "measured steps"
grep -q '"ph":"X"' "$work/d/trace_1.json" || fails "no step in the trace"

# The simulator's batches are the engine's: both take as many steps for the same trace.
{
  echo TIMESTAMP,ContextTokens,GeneratedTokens
  for i in $(seq 10 49); do echo "2023-11-16 18:15:$i.0,$((7 + i * i % 331)),$((2 + i * 37 % 61))"; done
} >"$work/trace.csv"
python3 tests/predict_batch.py "$program" $model --trace "$work/trace.csv" --sequences 6 --chunk 48 --vocab 500 \
  --max-context 64 --threads 1 --steps-only >"$work/predict.txt" 2>"$work/error" ||
  fails "prediction: $(tail -7 "$work/predict.txt") $(tail -3 "$work/error")"

echo "scenarios: all right"
