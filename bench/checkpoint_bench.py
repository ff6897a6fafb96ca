#!/usr/bin/env python3
"""Checkpoints next to the machine's own speed, in one run: written beside dd with fsync, read beside dd, restored beside
computed, decoding with a writer in the background and with one that waits.

  checkpoint_bench.py --program windlass --model MODEL --folder FOLDER [--tokens 4096] [--sequences 4] [--rounds 3]

Prints one JSON line: medians over the rounds, in which both sides of each ratio take turns. FOLDER is on the disk to be
measured; everything in it named bench-* is removed.
"""
import argparse
import glob
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests"))
from step_gate import StepGate, let_go_on, wait_until_taken  # noqa: E402

RAW_READ = """
import mmap, os, sys, threading, time
path, threads, piece = sys.argv[1], int(sys.argv[2]), 1 << 20
file, size = os.open(path, os.O_RDONLY), os.path.getsize(path)
memory = mmap.mmap(-1, size)
memory.madvise(mmap.MADV_HUGEPAGE)
view, begun = memoryview(memory), time.monotonic()
def read(thread):
    for at in range(size * thread // threads, size * (thread + 1) // threads, piece):
        os.preadv(file, [view[at:at + piece]], at)
running = [threading.Thread(target=read, args=(thread,)) for thread in range(threads)]
for thread in running: thread.start()
for thread in running: thread.join()
print(time.monotonic() - begun)
"""
CHUNK_TOKENS = 512  # of a prompt in one step
DRAWN_TOKENS = {"computed": 1, "saved": 128, "written": 50, "idle": 128}  # by workload
IDLE_PAIRS = 3  # of runs, a round: what is looked for is small


class Bench:
    def __init__(self, arguments):
        self.arguments, self.gates = arguments, 0
        os.makedirs(arguments.folder, exist_ok=True)

    def path(self, end):
        return os.path.join(self.arguments.folder, "bench-" + end)

    def clean(self):
        for path in glob.glob(self.path("*")):
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)

    def write_requests(self, name, sequences, tokens):
        with open(self.path(name + ".jsonl"), "w") as out:
            for i in range(sequences):
                prompt = [100 + (i * 7919 + j * 31) % 30000 for j in range(tokens)]
                body = {"prompt": prompt, "max_tokens": DRAWN_TOKENS[name], "temperature": 0, "ignore_eos": True}
                print(json.dumps({"custom_id": f"r{i}", "method": "POST", "url": "/v1/completions", "body": body}),
                      file=out)

    def words(self, name, *more):
        return [self.arguments.program, "batch", "--model", self.arguments.model, "--input", self.path(name + ".jsonl"),
                "--output", self.path("out"), "--report", self.path("report"), "--max-num-batched-tokens",
                str(CHUNK_TOKENS), "--max-num-seqs", str(self.arguments.sequences), *more]

    def report(self):
        with open(self.path("report")) as file:
            return json.load(file)

    def forget_output(self):
        for path in glob.glob(self.path("out*")):
            os.remove(path)

    def run(self, name, *more):
        """From the beginning to the end; its report."""
        self.forget_output()
        shutil.rmtree(self.path("kv-2"), ignore_errors=True)
        subprocess.run(self.words(name, *more), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self.report()

    def save(self):
        """A planned end when all prompts are computed and a few tokens are drawn; the report."""
        self.forget_output()
        shutil.rmtree(self.path("kv"), ignore_errors=True)
        self.gates += 1
        gate = StepGate(self.path(f"steps-{self.gates}"))
        words = self.words("saved", "--checkpoint", self.path("kv"), "--drain-seconds", "0", "--record", gate.path)
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        gate.let_compute(-(-self.arguments.tokens * self.arguments.sequences // CHUNK_TOKENS) + 1)
        process.send_signal(signal.SIGTERM)
        wait_until_taken(process, signal.SIGTERM)
        let_go_on([gate], lambda: process.poll() is not None)
        gate.close()
        if process.wait() != 75:
            raise RuntimeError(f"{' '.join(words)} ended with {process.returncode} instead of 75")
        return self.report()["checkpoint"]

    def restore(self):
        """Goes on from a copy of what save() left, to the end; its report."""
        copy = self.path("kv-copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.path("kv"), copy, copy_function=os.link)
        return self.run("saved", "--checkpoint", copy)

    def files(self):
        return glob.glob(os.path.join(self.path("kv"), "part-*.h5"))

    def dd(self, operands_of):
        """Seconds of one dd for each file of the checkpoint, all at once."""
        begun = time.monotonic()
        running = [subprocess.Popen(["dd", "bs=8M", "status=none", f"if={path}", *operands_of(path)])
                   for path in self.files()]
        if any([process.wait() for process in running]):
            raise RuntimeError("dd failed")
        return time.monotonic() - begun

    def dd_write(self):
        seconds = self.dd(lambda path: [f"of={self.path('copy-' + os.path.basename(path))}", "conv=fsync"])
        for path in glob.glob(self.path("copy-*")):
            os.remove(path)
        return seconds

    def dd_read(self):
        return self.dd(lambda path: ["of=/dev/null"])

    def raw_read(self):
        """Seconds of a fresh process that reads the files into memory of its own, one thread per core."""
        return sum(float(subprocess.run([sys.executable, "-c", RAW_READ, path, str(len(os.sched_getaffinity(0)))],
                                        check=True, capture_output=True).stdout) for path in self.files())

    def drop_from_cache(self):
        for path in self.files():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def first_token_seconds(report):
    """From the start of the work to the end of the first step: all seconds but those of the other steps."""
    engine = report["engine"]
    return report["seconds"] - engine["busy_seconds"] * (engine["steps"] - 1) / engine["steps"]


def measure_disk(bench):
    figures = {"write_s": bench.save()["write_seconds"], "dd_write_s": bench.dd_write()}
    bench.drop_from_cache()
    figures["dd_cold_s"] = bench.dd_read()
    bench.drop_from_cache()
    figures["raw_cold_s"] = bench.raw_read()
    bench.drop_from_cache()
    cold = bench.restore()
    bench.dd_read()  # fills the page cache
    figures |= {"dd_warm_s": bench.dd_read(), "raw_warm_s": bench.raw_read()}
    warm = bench.restore()
    for found in (cold["checkpoint"], warm["checkpoint"]):
        if found["recomputed_tokens"] > 0 or found["restored_requests"] != bench.arguments.sequences:
            raise RuntimeError(f"not everything was restored: {found}")
    figures |= {"cold_s": cold["checkpoint"]["restore_seconds"], "warm_s": warm["checkpoint"]["restore_seconds"],
                "bytes": warm["checkpoint"]["restored_bytes"], "first_token_s": first_token_seconds(warm)}
    figures["compute_s"] = bench.run("computed")["seconds"]
    return figures


def measure_background(bench):
    """The first checkpoint begins when the prompt is computed, and writes all of it while tokens are drawn."""
    alone = bench.run("written")
    begin = alone["ttft_ms"]["mean"] / 1000 + 0.1
    beside = bench.run("written", "--checkpoint", bench.path("kv-2"), "--checkpoint-interval", str(begin))
    idle = [(bench.run("idle")["seconds"], bench.run("idle", "--checkpoint", bench.path("kv-2"))["seconds"])
            for _ in range(IDLE_PAIRS)]
    return {"decode_ms": alone["tpot_ms"]["mean"], "decode_writing_ms": beside["tpot_ms"]["mean"],
            "written_meanwhile": beside["checkpoint"]["written_bytes"],
            "idle_percent": statistics.median(100 * after / before - 100 for before, after in idle)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("program", "model", "folder"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--sequences", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=("all", "disk", "background"), default="all")
    bench = Bench(parser.parse_args())
    arguments = bench.arguments
    bench.clean()
    bench.write_requests("computed", arguments.sequences, arguments.tokens)
    bench.write_requests("saved", arguments.sequences, arguments.tokens)
    bench.write_requests("written", 1, 2 * arguments.tokens - CHUNK_TOKENS)
    bench.write_requests("idle", arguments.sequences, 64)
    measures = [measure for part, measure in (("disk", measure_disk), ("background", measure_background))
                if arguments.part in ("all", part)]
    try:
        rounds = [dict(item for measure in measures for item in measure(bench).items())
                  for _ in range(arguments.rounds)]
    finally:
        bench.clean()
    result = {"operation": "checkpoint", "tokens": arguments.tokens, "sequences": arguments.sequences,
              "rounds": arguments.rounds, "load": round(os.getloadavg()[0], 1)}
    median = {name: round(statistics.median(figures[name] for figures in rounds), 4) for name in rounds[0]}
    percent = lambda part, whole: round(100 * statistics.median(f[part] / f[whole] for f in rounds), 1)
    if measure_disk in measures:
        for name in ("write_s", "dd_write_s", "warm_s", "raw_warm_s", "dd_warm_s", "cold_s", "raw_cold_s", "dd_cold_s"):
            median[name.replace("_s", "_gb_per_s")] = round(median["bytes"] / max(median[name], 1e-6) / 1e9, 3)
        result |= {"write_percent_of_dd": percent("dd_write_s", "write_s"),
                   "read_warm_percent_of_raw": percent("raw_warm_s", "warm_s"),
                   "read_cold_percent_of_raw": percent("raw_cold_s", "cold_s"),
                   "first_token_percent_of_computing": percent("first_token_s", "compute_s")}
    if measure_background in measures:
        result["decode_percent_of_undisturbed"] = percent("decode_ms", "decode_writing_ms")
    print(json.dumps(result | median))


if __name__ == "__main__":
    main()
