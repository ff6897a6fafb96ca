#!/usr/bin/env bash
# From a bare Debian to answers: installs what is missing, builds Windlass, fetches a small real model (98 MB) and
# answers inputs/demo_prompts.jsonl with it under mpirun.
#
#   bash jobs/demo.sh        needs root or sudo where packages are missing; a second run takes seconds
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '== %s\n' "$*"; }
started=$SECONDS

bash jobs/install.sh build
[ -d build/boost/usr ] && export Boost_ROOT=$PWD/build/boost/usr

say "building (build/release)"
mkdir -p build
configure=(cmake --preset release)
[ -f build/release/CMakeCache.txt ] || configure+=(-DWINDLASS_TESTS=OFF -DWINDLASS_BENCH=OFF)
"${configure[@]}" >build/configure.log || { tail -20 build/configure.log; exit 1; }
cmake --build --preset release --target windlass

model=$(bash jobs/fetch_demo_model.sh)

# Two ranks where there are two cores: one computes the prompts and hands their KV to the other, which goes on.
if [ "$(nproc)" -ge 2 ]; then layout=(-n 2 batch --layout prefill=1,decode=1); else layout=(-n 1 batch); fi

# Inside Slurm's or a user's own MPI set-up these stay as they are; a bare machine has neither ssh nor a second host.
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
command -v ssh >/dev/null || export OMPI_MCA_plm_rsh_agent=false

output=build/demo
rm -rf "$output" && mkdir -p "$output"
run=(build/release/jobs/windlass launch "${layout[@]}" --model "$model" --input inputs/demo_prompts.jsonl
  --output "$output/answers.jsonl" --report "$output/report.json")
say "${run[*]}"
"${run[@]}" </dev/null
python3 jobs/print_answers.py inputs/demo_prompts.jsonl "$output/answers.jsonl" "$output/report.json"
say "done in $((SECONDS - started)) s; the answers are in $output/answers.jsonl"
