#!/usr/bin/env bash
# Builds Kokkos with OpenMP from Debian's source package (trilinos has it) and installs it into FOLDER.
#
#   bash tests/build_kokkos.sh FOLDER [JOBS]
#
# Nothing outside FOLDER is touched: the package lists with sources lie in a folder that is removed at the end.
set -euo pipefail
folder=${1:?usage: tests/build_kokkos.sh FOLDER [JOBS]}
jobs=${2:-$(nproc)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{parts,lists/partial,source}

for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ -f "$list" ] && sed 's/^deb /deb-src /' "$list" | grep -E '^deb-src .*debian' >"$work/parts/$(basename "$list" .list)-source.list" || true
done
for list in /etc/apt/sources.list.d/*.sources; do
  [ -f "$list" ] && grep -q 'debian' "$list" && sed 's/^Types:.*/Types: deb-src/' "$list" >"$work/parts/$(basename "$list")" || true
done
apt=(apt-get -qq -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$work/parts" -o "Dir::State::Lists=$work/lists" -o "APT::Sandbox::User=root")
"${apt[@]}" update || true  # a list without sources is no reason to stop: the next command says what is missing
(cd "$work/source" && "${apt[@]}" source --download-only trilinos)
tar -C "$work" -xf "$work"/source/trilinos_*.orig.tar.* --wildcards --strip-components=2 '*/packages/kokkos/*'
cmake -S "$work/kokkos" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$folder" \
  -DKokkos_ENABLE_OPENMP=ON -DKokkos_ENABLE_SERIAL=ON -DKokkos_ENABLE_TESTS=OFF >/dev/null
cmake --build "$work/build" -j "$jobs" --target install
