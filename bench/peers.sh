#!/usr/bin/env bash
# Windlass beside other programs: the same workloads, model file, threads and machine in one run, then the ratios.
#
#   bench/peers.sh --peers FOLDER [--work W1,W2,W3,W4,W5,W6] [--threads N] [--repetitions 3] [--long-repetitions 1]
#                  [--formats bf16,q4_0,q4_1] [--only windlass,llama.cpp,vllm] [--neighbours] [--output FILE.jsonl]
#
# FOLDER holds what is to be compared; bench/README.md says how it is laid out and what the workloads are. Builds
# build/release first. A whole run takes the better part of an hour on two cores, most of it llama.cpp's W4 and W5.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -d build/boost/usr ] && export Boost_ROOT=$PWD/build/boost/usr
cmake --preset release -DWINDLASS_BENCH=ON >/dev/null
cmake --build --preset release --target windlass engine_bench machine >&2
exec python3 bench/peers.py "$@"
