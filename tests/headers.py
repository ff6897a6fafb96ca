#!/usr/bin/env python3
"""Compiles every header by itself: none may need another one before it.

  headers.py COMPILE_COMMANDS.json JOBS

A header is compiled with the flags of a source in its folder, or of any source where its folder has none.
"""
import concurrent.futures
import json
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
NEED_CUDA = {"device.hpp"}  # the toolkit's headers
DROPPED = {"-c", "-o", "-MD", "-MT", "-MF"}  # -o, -MT and -MF take a value


def flags_of(entry):
    """The compiler and its options, without input, output, dependency files and ccache."""
    words, kept, skip = shlex.split(entry["command"]), [], False
    for word in words:
        if skip:
            skip = False
        elif word in DROPPED:
            skip = word not in ("-c", "-MD")
        elif not word.endswith((".cpp", ".cu", "ccache")):
            kept.append(word)
    return kept


def flags_by_folder(path):
    found = {}
    for entry in json.loads(pathlib.Path(path).read_text()):
        folder, flags = pathlib.Path(entry["file"]).parent, flags_of(entry)
        found[folder] = max(found.get(folder, []), flags, key=len)  # the x86 kernels' headers need their level's
    return found


def problem(header, flags):
    """What the compiler says about it; empty if it compiles."""
    done = subprocess.run([*flags, "-fsyntax-only", "-x", "c++", "-include", str(header), "/dev/null"],
                          capture_output=True, text=True)
    return f"{header.relative_to(ROOT)} does not compile alone:\n{done.stderr}" if done.returncode else ""


def main():
    flags = flags_by_folder(sys.argv[1])
    any_flags = flags.get(ROOT / "jobs") or next(iter(flags.values()))
    headers = [path for folder in ("src", "kernels", "mpi", "jobs", "tests", "bench")
               for path in sorted((ROOT / folder).rglob("*.hpp"))
               if path.parent in flags or path.parent.name != "kokkos"
               if path.name not in NEED_CUDA or path.parent.name != "cuda"]
    with concurrent.futures.ThreadPoolExecutor(int(sys.argv[2])) as pool:
        problems = [text for text in pool.map(lambda h: problem(h, flags.get(h.parent, any_flags)), headers) if text]
    print("\n".join(problems) or f"{len(headers)} headers compile alone")
    return 1 if problems or not headers else 0


if __name__ == "__main__":
    sys.exit(main())
