#!/usr/bin/env bash
# Compiles every header of our own by itself, with the flags of build/release: a header must not need another before it.
#   tests/headers.sh JOBS
set -euo pipefail
cd "$(dirname "$0")/.."
includes=$(sed -nE 's/^ *INCLUDES = //p' build/release/build.ninja | tr ' ' '\n' | grep -v '^$' | paste -sd' ' | sed 's/-isystem /-isystem/g' |
  tr ' ' '\n' | sort -u | tr '\n' ' ')
find src kernels mpi jobs tests bench -name '*.hpp' ! -path 'kernels/kokkos/*' |
  xargs -P "$1" -I{} sh -c "${CXX:-c++} -std=c++20 -Wall -Wextra -Werror -Wno-missing-field-initializers $includes -I. -fsyntax-only -x c++ -include {} /dev/null || { echo '{} does not compile alone'; exit 255; }"
