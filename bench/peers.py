#!/usr/bin/env python3
"""Runs the workloads W1 to W6 for Windlass and the peers of one folder, workload by workload, and prints the ratios.

bench/peers.sh builds what this needs; bench/README.md describes workloads, folder and table.
"""
import argparse
import json
import os
import subprocess
import sys
import time

import peers_table
import peers_workloads as w
from peers_llama import LlamaCpp

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BUILD = os.path.join(ROOT, "build", "release")
ENGINE_WORK = {"W1": "prefill", "W2": "decode", "W3": "batch", "W4": "shared", "W5": "trace"}


def lines_of(command, **more):
    """The JSON lines that a program prints; ends this program with its words if it fails."""
    w.say("+", " ".join(command))
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, **more)
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with status {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


class Windlass:
    def __init__(self, options, model, form):
        self.options, self.model, self.form = options, model, form

    def run(self, workload):
        if workload == "W6":
            return [self.start()]
        command = [os.path.join(BUILD, "bench", "engine_bench"), "--model", self.model, "--work",
                   ENGINE_WORK[workload], "--threads", str(self.options.threads), "--repetitions",
                   str(self.options.repetitions), "--long-repetitions", str(self.options.long_repetitions)]
        return [dict(line, format=self.form) for line in lines_of(command, cwd=ROOT)]

    def start(self):
        """W6 with the real program: a batch of one line, from making the process to its end."""
        request = dict(custom_id="start", method="POST", url="/v1/completions",
                       body=dict(prompt=w.random_tokens(w.START_TOKENS, 1), max_tokens=1, temperature=0,
                                 ignore_eos=True))
        seconds, peaks = [], []
        for _ in range(self.options.repetitions):
            command = [os.path.join(BUILD, "jobs", "windlass"), "batch", "--model", self.model, "--threads",
                       str(self.options.threads), "--input", "-", "--output", "-"]
            begun = time.perf_counter()
            run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
            run.stdin.write(json.dumps(request).encode() + b"\n")
            run.stdin.close()
            _, status, usage = os.wait4(run.pid, 0)
            seconds.append(time.perf_counter() - begun)
            run.returncode = os.waitstatus_to_exitcode(status)
            if run.returncode:
                raise SystemExit(f"{' '.join(command)} ended with status {run.returncode}")
            peaks.append(usage.ru_maxrss / 1024)
        model_mib = os.path.getsize(self.model) / 2**20 if os.path.isfile(self.model) else None
        return w.result("windlass", self.form, "W6", "start to first token", "s", seconds, peak_mib=max(peaks),
                        model_mib=model_mib)

    def beside_neighbours(self):
        """Prefill of 512 and decode at 512, alone and with a process that never rests on each core."""
        busy = []
        for state in ("alone", "neighbours"):
            if state == "neighbours":
                busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"],
                                         preexec_fn=lambda core=core: os.sched_setaffinity(0, {core}))
                        for core in sorted(os.sched_getaffinity(0))]
            try:
                for workload in ("W1", "W2"):
                    for line in self.run(workload):
                        yield dict(line, case=f"{line['case']}, {state}")
            finally:
                for process in busy:
                    process.kill()
                    process.wait()


class Vllm:
    def __init__(self, options):
        self.options = options
        self.python = os.path.join(options.peers, "venv-vllm", "bin", "python")
        self.model = os.path.join(options.peers, "smollm2-hf-bf16")

    def run(self, workload):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers_vllm.py")
        numbers = (self.options.threads, self.options.repetitions, self.options.long_repetitions)
        return lines_of([self.python, script, self.model, workload, *map(str, numbers)])


def subjects(options):
    """What is compared: Windlass on the GGUF file and on bf16 weights, llama.cpp in each form, vLLM where it is."""
    models = os.path.join(options.peers, "models")
    folder = os.path.join(options.peers, "smollm2-hf-bf16")
    wide = folder if os.path.isdir(folder) else os.path.join(models, "smollm2-bf16.gguf")
    chosen = []
    if "windlass" in options.only:
        chosen.append(Windlass(options, os.path.join(models, "smollm2-q4_1.gguf"), "q4_1"))
        chosen.append(Windlass(options, wide, "bf16"))
    if "llama.cpp" in options.only:
        chosen += [LlamaCpp(options, form) for form in options.formats]
    if "vllm" in options.only and os.path.isdir(os.path.join(options.peers, "venv-vllm")):
        chosen.append(Vllm(options))
    return chosen


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, metavar="FOLDER", help="where the peers and models are")
    parser.add_argument("--work", default="W1,W2,W3,W4,W5,W6")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--long-repetitions", type=int, default=1, help="of 7000 tokens, W4 without sharing, W5")
    parser.add_argument("--formats", default="bf16,q4_0,q4_1", help="llama.cpp's; the fastest counts")
    parser.add_argument("--only", default="windlass,llama.cpp,vllm")
    parser.add_argument("--neighbours", action="store_true", help="also Windlass beside a busy process on each core")
    parser.add_argument("--output", default=os.path.join(ROOT, "build", "peers.jsonl"), help="results, one a line")
    parser.add_argument("--table", metavar="FILE", help="print the table of an earlier run's results and end")
    options = parser.parse_args()
    options.peers = os.path.abspath(options.peers)
    for name in ("work", "formats", "only"):
        setattr(options, name, getattr(options, name).split(","))
    return options


def main():
    options = parse()
    results = []
    if options.table:
        with open(options.table) as lines:
            return peers_table.print_table([json.loads(line) for line in lines])
    chosen = subjects(options)
    with open(options.output, "w") as output:
        def keep(lines):
            for line in lines:
                results.append(line)
                print(json.dumps(line), file=output, flush=True)
                w.say(json.dumps(line))
        for workload in options.work:
            for subject in chosen:
                keep(subject.run(workload))
        if options.neighbours:
            keep(next(s for s in chosen if isinstance(s, Windlass)).beside_neighbours())
    peers_table.print_table(results)


if __name__ == "__main__":
    main()
