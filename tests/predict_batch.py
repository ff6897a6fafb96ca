#!/usr/bin/env python3
"""Long, for a quiet machine: `windlass simulate` with this machine's profile predicts `windlass batch` on a trace.

  predict_batch.py WINDLASS MODEL [--trace inputs/traces/azure_2023_conv_64.csv] [--sequences 16] [--keep FOLDER]

Measures the steps (windlass bench --profile), simulates the trace, answers it, and compares mean TTFT, mean TPOT and the
makespan: each must agree within 10 %. Both must take as many steps: that is a matter of batching, not of speed.
With --steps-only that alone counts (any machine, however busy).
"""
import argparse
import csv
import itertools
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

TOLERANCE = 0.10
ROOT = pathlib.Path(__file__).resolve().parent.parent


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--trace", default=str(ROOT / "inputs/traces/azure_2023_conv_64.csv"))
    parser.add_argument("--sequences", type=int, default=16, help="that run at once")
    parser.add_argument("--chunk", type=int, default=512, help="prompt tokens of one step")
    parser.add_argument("--vocab", type=int, default=40000, help="token ids are drawn below this")
    parser.add_argument("--max-context", type=int, default=4096)
    parser.add_argument("--requests", type=int, default=10**9, help="of the trace, from its beginning")
    parser.add_argument("--steps-only", action="store_true", help="compare numbers of steps, not times")
    parser.add_argument("--threads", default="0", help="of windlass bench and batch; 0: all cores")
    parser.add_argument("--keep", help="folder for the files; default: a temporary one")
    return parser.parse_args()


def write_trace(trace, path, requests):
    with open(trace) as whole, open(path, "w") as part:
        part.writelines(itertools.islice(whole, requests + 1))


def write_batch(trace, path, vocab):
    """The trace as requests with random token ids, answered to their full length."""
    draw = random.Random(1)
    with open(trace) as rows, open(path, "w") as out:
        for number, row in enumerate(csv.DictReader(rows)):
            body = {"prompt": [draw.randrange(64, vocab) for _ in range(int(row["ContextTokens"]))], "temperature": 0,
                    "max_tokens": int(row["GeneratedTokens"]), "ignore_eos": True}
            print(json.dumps({"custom_id": str(number), "method": "POST", "url": "/v1/completions", "body": body}), file=out)


def write_scenario(path, trace, sequences, chunk):
    path.write_text(json.dumps({
        "name": "prediction of a batch",
        "workload": {"kind": "azure", "path": trace.name},
        "service_level": {"ttft_ms": 1e9, "tpot_ms": 1e9},
        "cluster": {"kind": "pipelines", "steps": {"kind": "measured", "path": "profile.json"}, "in_flight": sequences,
                    "instances": [{"role": "mixed", "chunk_tokens": chunk, "max_prompts": sequences}]}}))


def main():
    given = options()
    folder = pathlib.Path(given.keep or tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    engine = ["--model", given.model, "--max-num-seqs", str(given.sequences), "--max-num-batched-tokens",
              str(given.chunk), "--threads", given.threads]
    repetitions = ["--repetitions", "1"] if given.steps_only else []
    run = lambda *words: subprocess.run([given.program, *words], check=True)
    trace = folder / "trace.csv"
    write_trace(given.trace, trace, given.requests)
    write_batch(trace, folder / "in.jsonl", given.vocab)
    write_scenario(folder / "scenario.json", trace, given.sequences, given.chunk)
    run("bench", *engine, "--profile", str(folder / "profile.json"), "--max-context", str(given.max_context), *repetitions)
    run("simulate", str(folder / "scenario.json"), "--output", str(folder / "simulated"))
    run("batch", *engine, "--input", str(folder / "in.jsonl"), "--output", str(folder / "out.jsonl"), "--overwrite",
        "--no-prefix-caching", "--quiet", "--report", str(folder / "report.json"))
    simulated = json.loads((folder / "simulated/report.json").read_text())["clusters"][0]["runs"][0]
    measured = json.loads((folder / "report.json").read_text())
    return compare(simulated, measured, given.steps_only)


def compare(simulated, measured, steps_only):
    steps, busy = measured["engine"]["steps"], measured["engine"]["busy_seconds"]
    figures = {"mean TTFT (ms)": (simulated["ttft_ms"]["mean"], measured["ttft_ms"]["mean"]),
               "mean TPOT (ms)": (simulated["tpot_ms"]["mean"], measured["tpot_ms"]["mean"]),
               "makespan (s)": (simulated["makespan_s"], measured["seconds"])}
    told = {**figures, "in steps (s)": (simulated["makespan_s"], busy), "steps": (simulated["details"]["steps"], steps)}
    print(f"\n{'figure':16} {'simulated':>12} {'measured':>12} {'error':>8}   (load {os.getloadavg()[0]:.1f})")
    for name, (predicted, real) in told.items():
        print(f"{name:16} {predicted:12.1f} {real:12.1f} {100 * (predicted / real - 1):+7.1f}%")
    if abs(simulated["details"]["steps"] - steps) > max(3, 0.01 * steps):  # the first lines may miss the first step
        print("the simulator's batches are not the engine's: it takes another number of steps")
        return 1
    if steps_only:
        return 0
    return 0 if all(abs(predicted / real - 1) <= TOLERANCE for predicted, real in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
