#!/usr/bin/env python3
"""Checkpoints next to the disk's own speed: writing beside dd with fsync, reading beside dd, restoring beside computing.

  checkpoint_bench.py --program windlass --model MODEL --folder FOLDER [--tokens 4096] [--sequences 4]

Prints one JSON line. FOLDER is on the disk to be measured; everything in it named bench-* is removed.
"""
import argparse
import glob
import json
import os
import shutil
import signal
import statistics
import subprocess
import time


def requests(path, arguments, max_tokens):
    with open(path, "w") as out:
        for i in range(arguments.sequences):
            prompt = [100 + (i * 7919 + j * 31) % 30000 for j in range(arguments.tokens)]
            body = {"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True}
            print(json.dumps({"custom_id": f"r{i}", "method": "POST", "url": "/v1/completions", "body": body}), file=out)


def words(arguments, name, *more):
    path = lambda end: os.path.join(arguments.folder, f"bench-{name}{end}")
    return [arguments.program, "batch", "--model", arguments.model, "--input", path(".jsonl"), "--output",
            path(".out"), "--report", path(".report"), "--max-num-seqs", str(arguments.sequences), *more]


def report(arguments, name):
    with open(os.path.join(arguments.folder, f"bench-{name}.report")) as file:
        return json.load(file)


def dd(*operands):
    """Seconds."""
    begun = time.monotonic()
    subprocess.run(["dd", "bs=4M", "status=none", *operands], check=True)
    return time.monotonic() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("program", "model", "folder"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--sequences", type=int, default=4)
    arguments = parser.parse_args()
    os.makedirs(arguments.folder, exist_ok=True)
    checkpoint = os.path.join(arguments.folder, "bench-kv")
    clean = lambda: [shutil.rmtree(p) if os.path.isdir(p) else os.remove(p)
                     for p in glob.glob(os.path.join(arguments.folder, "bench-*"))]
    clean()
    requests(os.path.join(arguments.folder, "bench-prefill.jsonl"), arguments, 1)
    subprocess.run(words(arguments, "prefill"), check=True, capture_output=True)
    computed = report(arguments, "prefill")
    requests(os.path.join(arguments.folder, "bench-long.jsonl"), arguments, 3000)
    run = words(arguments, "long", "--checkpoint", checkpoint, "--checkpoint-interval", "0", "--drain-seconds", "0")
    process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1.5 * computed["seconds"] + computed["load_seconds"] + 3)
    process.send_signal(signal.SIGTERM)
    process.wait()
    written = report(arguments, "long")["checkpoint"]
    parts = glob.glob(os.path.join(checkpoint, "part-*.h5"))
    size = sum(map(os.path.getsize, parts))
    copy = os.path.join(arguments.folder, "bench-copy")
    dd_write = statistics.median(dd(f"if={parts[0]}", f"of={copy}", "conv=fsync") for _ in range(3))
    dd_read = statistics.median(dd(f"if={parts[0]}", "of=/dev/null") for _ in range(3))
    process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(computed["load_seconds"] + 6)
    process.send_signal(signal.SIGTERM)
    process.wait()
    restored = report(arguments, "long")["checkpoint"]
    write_s = written["write_seconds"]
    restore_s = restored["restore_seconds"]
    print(json.dumps({
        "operation": "checkpoint", "tokens": arguments.tokens, "sequences": arguments.sequences,
        "bytes": size, "write_gb_per_s": round(size / write_s / 1e9, 3) if write_s else None,
        "dd_fsync_gb_per_s": round(size / dd_write / 1e9, 3),
        "write_percent_of_dd": round(100 * dd_write / write_s, 1) if write_s else None,
        "read_gb_per_s": round(restored["restored_bytes"] / restore_s / 1e9, 3) if restore_s else None,
        "dd_read_gb_per_s": round(size / dd_read / 1e9, 3),
        "restored_tokens": restored["restored_tokens"], "recomputed_tokens": restored["recomputed_tokens"],
        "restore_s_per_sequence": round(restore_s / arguments.sequences, 4),
        "compute_s_per_sequence": round(computed["seconds"] / arguments.sequences, 4),
        "restore_percent_of_computing": round(100 * restore_s / computed["seconds"], 2)}))
    clean()


if __name__ == "__main__":
    main()
