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
"$program" plan inputs/scenarios/plan_smollm2_cpu.json | grep -qi disaggregate || fails "plan gives no advice"

! "$program" simulate "$work/none.json" 2>"$work/error" || fails "a missing file passes"
grep -q none.json "$work/error" || fails "the missing file is not named"
sed 's/"role": "mixed"/"role": "mixd"/' inputs/scenarios/distserve.json >"$work/bad.json"
! "$program" simulate "$work/bad.json" 2>"$work/error" || fails "a misspelt role passes"
grep -q 'bad.json:[0-9]*: clusters\[1\].instances\[0\].role: .*allowed: prefill, decode, mixed' "$work/error" ||
  fails "the misspelt role is not explained: $(cat "$work/error")"
! "$program" simulate inputs/scenarios/pdserve.json --sweep rate=3 2>"$work/error" || fails "a bad sweep passes"
echo "scenarios: all right"
