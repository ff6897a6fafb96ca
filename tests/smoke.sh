#!/usr/bin/env bash
# A few runs of a program that was built with other options than the tests: it starts, explains itself, reads a model,
# answers, and refuses what is wrong.
#   tests/smoke.sh build/NAME/jobs/windlass
set -euo pipefail
cd "$(dirname "$0")/.."
program=$1
model=inputs/reference/llama-gqa
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$program" --help | grep -q batch
"$program" inspect "$model" | grep -qi llama
printf '%s\n' '{"custom_id":"a","method":"POST","url":"/v1/completions","body":{"prompt":[5,6,7],"max_tokens":4,"temperature":0}}' \
  'not JSON' >"$work/in.jsonl"
"$program" batch --model "$model" --input "$work/in.jsonl" --output "$work/out.jsonl"
grep -q '"custom_id": *"a"' "$work/out.jsonl"
[ "$(wc -l <"$work/out.jsonl")" = 2 ]
! "$program" batch --model "$work/none.gguf" --input "$work/in.jsonl" --output "$work/out2.jsonl" 2>"$work/error"
grep -q none.gguf "$work/error"
echo "smoke: all right"
