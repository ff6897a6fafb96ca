#!/usr/bin/env bash
# Installs from Debian what is missing to build Windlass, and with `tests` or `long` what its tests need besides.
#
#   bash jobs/install.sh [build | tests | long]
#
# What is there already, from packages, modules or Spack, is found by trying it and left alone. Needs root or sudo only
# where something is missing; where neither can be had, it lists what is missing and ends with status 3.
set -euo pipefail

level=${1:-build}
case $level in build | tests | long) ;; *) echo "usage: jobs/install.sh [build | tests | long]" >&2; exit 2 ;; esac
cd "$(dirname "$0")/.."
compiler=${CXX:-c++}

# --- Is it there? ---------------------------------------------------------------------------------------------------
# Folders that modules and Spack announce, one a line.
prefixes() {
  printf '%s\n' "${CMAKE_PREFIX_PATH:-}" "${Boost_ROOT:-}" "${BOOST_ROOT:-}" "$PWD/build/boost/usr" | tr ':;' '\n\n' | sed '/^$/d'
}
header() {
  local flags=() prefix
  while read -r prefix; do flags+=(-I "$prefix/include"); done < <(prefixes)
  echo "#include <$1>" | "$compiler" -std=c++20 "${flags[@]}" -E -x c++ - >/dev/null 2>&1
}
library() {
  local flags=() prefix folder
  while read -r prefix; do
    for folder in "$prefix"/lib "$prefix"/lib64 "$prefix"/lib/*-linux-gnu; do flags+=(-L "$folder"); done
  done < <(prefixes)
  echo 'int main() {}' | "$compiler" -x c++ - "${flags[@]}" "-l$1" -o /dev/null 2>/dev/null
}
tool() { command -v "$1" >/dev/null; }
module() { tool pkg-config && pkg-config --exists "$1"; }
python_module() { tool python3 && python3 -c "import $1" 2>/dev/null; }
new_compiler() { echo 'int main() {}' | "$compiler" -std=c++20 -x c++ - -o /dev/null 2>/dev/null && header concepts; }
new_cmake() { tool cmake && [ "$(printf '%s\n' 3.25 "$(cmake --version | sed -n '1s/[^0-9]*//p')" | sort -V | head -1)" = 3.25 ]; }
boost() { header boost/json.hpp && library boost_json && library boost_program_options && library boost_iostreams; }
hdf5() { module hdf5-serial || header hdf5.h; }
system_h5py() { python_module h5py || /usr/bin/python3 -c "import h5py" 2>/dev/null; }
# Elsewhere than on Debian their tests are skipped.
network_namespaces() { ! tool apt-get || PATH=$PATH:/usr/sbin tool ip; }
slurm() { ! tool apt-get || PATH=$PATH:/usr/sbin tool slurmctld && PATH=$PATH:/usr/sbin tool munged; }
browser() { ! tool apt-get || tool chromium-headless-shell || tool chromium || tool google-chrome; }
kokkos() { header Kokkos_Core.hpp || [ -f /usr/include/trilinos/Kokkos_Core.hpp ]; }

# Debian names its default Boost without a version; version 12 has the first one with JSON only under a number.
boost_packages() {
  local v=1.81
  [ -n "$(apt-cache show "libboost$v-dev" 2>/dev/null)" ] || v=
  echo "libboost$v-dev libboost-json$v-dev libboost-program-options$v-dev libboost-iostreams$v-dev"
}

# need NAME 'TEST' 'DEBIAN PACKAGES' 'SPACK SPEC': adds to the lists of what is missing.
missing=() debian=() spack=()
need() {
  eval "$2" && return
  missing+=("$1") debian+=($3) spack+=("$4")
}
find_missing() {
  missing=() debian=() spack=()
  need "C++20 compiler" new_compiler "g++" "gcc@11:"
  need "CMake >= 3.25" new_cmake "cmake" "cmake@3.25:"
  need "Ninja" "tool ninja" "ninja-build" "ninja"
  need "pkg-config" "tool pkg-config" "pkg-config" "pkgconf"
  need "MPI compiler (mpicxx)" "tool mpicxx" "libopenmpi-dev" "openmpi"
  need "MPI launcher (mpirun)" "tool mpirun" "openmpi-bin" "openmpi"
  need "hwloc" "module hwloc" "libhwloc-dev" "hwloc"
  need "Boost >= 1.75 with JSON, program_options, iostreams" boost "$(boost_packages)" "boost@1.75:+json+program_options+iostreams"
  need "OpenSSL" "header openssl/evp.h" "libssl-dev" "openssl"
  need "PCRE2" "module libpcre2-8" "libpcre2-dev" "pcre2"
  need "utf8proc" "module libutf8proc" "libutf8proc-dev" "utf8proc"
  need "zlib" "header zlib.h" "zlib1g-dev" "zlib"
  need "Zstandard" "module libzstd" "libzstd-dev" "zstd"
  need "HDF5" "hdf5" "libhdf5-dev" "hdf5~mpi"
  need "Python 3 with venv" "python_module ensurepip" "python3 python3-venv" "python"
  [ "$level" = build ] && return
  need "GoogleTest" "header gtest/gtest.h" "libgtest-dev" "googletest"
  need "Kokkos >= 3.4" kokkos "libtrilinos-kokkos-dev" "kokkos"
  need "h5dump" "tool h5dump" "hdf5-tools" "hdf5"
  need "h5py" "system_h5py" "python3-h5py" "py-h5py"
  need "curl" "tool curl" "curl" "curl"
  need "ip, for hosts made of network namespaces" "network_namespaces" "iproute2" "iproute2"
  need "ccache" "tool ccache" "ccache" "ccache"
  [ "$level" = tests ] && return
  need "Slurm" "slurm" "slurmctld slurmd slurm-client munge" "slurm"
  need "headless Chromium" "browser" "chromium-headless-shell" ""
  need "clang-format" "tool clang-format" "clang-format" "llvm"
  need "clang-tidy >= 15" "tool clang-tidy-16 || tool clang-tidy-15 || tool clang-tidy-19" "clang-tidy-16" "llvm@15:"
  need "MPICH under its Debian names" "tool mpicxx.mpich && tool mpiexec.mpich" "mpich libmpich-dev" "mpich"
}

# --- Install what is not --------------------------------------------------------------------------------------------
as_root=()
can_install() {
  tool apt-get || return 1
  [ "$(id -u)" = 0 ] && return
  as_root=(sudo -n)
  tool sudo && sudo -n true 2>/dev/null && return
  as_root=(sudo)
  tool sudo && [ -t 0 ] && sudo true
}

# Debian's Boost 1.74 cannot stay beside 1.81's headers. It is somebody's: 1.81 is unpacked into build/boost instead, and
# jobs/demo.sh and tests/run.sh name that folder to CMake as Boost_ROOT.
unpack_boost() {
  local folder=$PWD/build/boost deb packages
  packages=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances $(boost_packages) | grep -E '^libboost.*1\.81' | sort -u)
  echo "== another Boost is installed: unpacking $(echo $packages) into build/boost"
  mkdir -p "$folder/download"
  (cd "$folder/download" && apt-get download -qq $packages)
  for deb in "$folder"/download/*.deb; do dpkg-deb -x "$deb" "$folder"; done
  rm -r "$folder/download"
}

install_missing() {
  local package rest=()
  "${as_root[@]}" apt-get update -qq
  find_missing  # the names of packages are known better now
  if "${as_root[@]}" apt-get install -s -qq --no-install-recommends "${debian[@]}" 2>/dev/null | grep -q '^Remv'; then
    unpack_boost
    for package in "${debian[@]}"; do [[ $package == libboost* ]] || rest+=("$package"); done
    debian=("${rest[@]}")
  fi
  [ ${#debian[@]} = 0 ] && return
  echo "== installing: ${debian[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${debian[@]}" </dev/null >build/install.log 2>&1 ||
    { tail -20 build/install.log >&2; return 1; }
}

report_missing() {
  {
    echo "Missing to build Windlass:"
    printf '  %s\n' "${missing[@]}"
    echo "As an administrator of Debian:  apt-get install ${debian[*]}"
    echo "With Spack:                     spack install $(printf '%s\n' "${spack[@]}" | awk '!seen[$0]++' | tr '\n' ' ')"
    echo "Or load the modules that have them (CMAKE_PREFIX_PATH, PKG_CONFIG_PATH and PATH are looked at)."
  } >&2
}

find_missing
[ ${#missing[@]} = 0 ] && exit 0
if can_install; then mkdir -p build; install_missing || true; hash -r; find_missing; fi
[ ${#missing[@]} = 0 ] && exit 0
report_missing
exit 3
