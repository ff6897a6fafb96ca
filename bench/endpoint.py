#!/usr/bin/env python3
"""The endpoint next to the engine behind it, and next to llama.cpp's server, in one run.

  endpoint.py --program windlass --model GGUF [--llama-server PROGRAM] [--rounds 3]

One JSON line per result:
  added latency   8 clients: what the client sees more than the server's accounts say, of the first token and of each
                  further one; both lists of 64 requests are sorted, median and 99th percentile of their differences, ms
  throughput      32 streaming clients on one core, the whole server on another, next to `windlass batch` with the same
                  requests on that core; tokens/s, and their ratio
  peers           8 and 32 clients, all cores, beside llama-server: tokens/s and the 99th percentile of the first token
Both sides of each comparison take turns; the figures are medians over the rounds. Needs two cores.
"""
import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

PROMPT, NEW = 256, 64


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Server:
    """A server's process while a `with` block lasts."""

    def __init__(self, words, url, core):
        pinned = ["taskset", "-c", str(core)] if core is not None else []
        self.process = subprocess.Popen([*pinned, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self.url = url

    def __enter__(self):
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(self.url + "/health", timeout=5).read()
                return self
            except OSError:
                time.sleep(0.02)
        raise SystemExit(f"the server does not answer at {self.url}")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Bench:
    def __init__(self, arguments, folder):
        self.arguments, self.folder, self.accounts_read, self.loads = arguments, folder, 0, 0

    def path(self, name):
        return os.path.join(self.folder, name)

    def windlass(self, core=None, sequences=32):
        port = free_port()
        words = [self.arguments.program, "serve", "--model", self.arguments.model, "--port", port, "--endpoint-file",
                 self.path("endpoint.json"), "--accounting-log", self.path("accounts.jsonl"), "--max-num-seqs", sequences,
                 "--threads", self.arguments.threads if core is None else 1]
        return Server(words, f"http://127.0.0.1:{port}", core)

    def llama(self, slots):
        port = free_port()
        words = [self.arguments.llama_server, "-m", self.arguments.model, "-t", self.arguments.threads, "-fa", "auto",
                 "-np", slots, "-c", slots * (PROMPT + NEW + 16), "--host", "127.0.0.1", "--port", port,
                 "--threads-http", slots + 4, "--no-webui"]
        return Server(words, f"http://127.0.0.1:{port}", None)

    def load(self, server, clients, prompts, core=None, windlass=True):
        """Figures of `clients` that each send their next request when the last one is answered; no prompt comes twice."""
        self.loads += 1
        pinned = ["taskset", "-c", str(core)] if core is not None else []
        to = (["--endpoint-file", self.path("endpoint.json")] if windlass else
              ["--base-url", server.url + "/v1", "--extra-body", '{"cache_prompt": false}'])
        subprocess.run([*pinned, self.arguments.program, "bench-serve", *to, "--max-concurrency", str(clients),
                        "--num-prompts", str(prompts), "--random-input-len", str(PROMPT), "--random-output-len", str(NEW),
                        "--vocab-size", "40000", "--seed", str(self.loads), "--quiet", "--save-detailed", "--report",
                        self.path("load.json")], check=True)
        report = json.load(open(self.path("load.json")))
        if report["completed"] != prompts or report["total_output_tokens"] != prompts * NEW:
            raise SystemExit(f"{report['completed']} of {prompts} requests answered, {report['total_output_tokens']} tokens")
        return report

    def accounts(self):
        """[requests] ms to the first token and per further one, as the server counts them; those since the last call."""
        time.sleep(0.2)
        lines = open(self.path("accounts.jsonl")).read().splitlines()
        rows, self.accounts_read = [json.loads(line) for line in lines[self.accounts_read:]], len(lines)
        first = [row["first_token_seconds"] * 1e3 for row in rows]
        each = [(row["seconds"] - row["first_token_seconds"]) * 1e3 / (row["completion_tokens"] - 1) for row in rows]
        return {"ttft": first, "tpot": each}

    def added_latency(self):
        added = {}
        with self.windlass(sequences=8) as server:
            self.load(server, 8, 8)
            self.accounts()
            for _ in range(self.arguments.rounds):
                report, inside = self.load(server, 8, 64), self.accounts()
                for name in ("ttft", "tpot"):
                    outside = [request[f"{name}_ms"] for request in report["requests"]]
                    differences = [late - early for late, early in zip(sorted(outside), sorted(inside[name]))]
                    for word, share in (("median", 0.5), ("p99", 0.99)):
                        added.setdefault(f"{word}_{name}_ms", []).append(percentile(differences, share))
        return {"case": "added latency, 8 clients"} | {name: round(statistics.median(v), 3) for name, v in added.items()}

    def batch_speed(self, prompts, core):
        with open(self.path("in.jsonl"), "w") as out:
            for i in range(prompts):
                body = {"prompt": [(100 + i * 7919 + j * 31) % 40000 for j in range(PROMPT)], "max_tokens": NEW,
                        "ignore_eos": True, "temperature": 0}
                print(json.dumps({"method": "POST", "url": "/v1/completions", "body": body}), file=out)
        subprocess.run(["taskset", "-c", str(core), self.arguments.program, "batch", "--model", self.arguments.model,
                        "--input", self.path("in.jsonl"), "--output", self.path("out.jsonl"), "--overwrite", "--quiet",
                        "--report", self.path("batch.json"), "--threads", "1", "--max-num-seqs", "32"], check=True)
        report = json.load(open(self.path("batch.json")))
        return report["generated_tokens_per_s"]

    def throughput(self):
        server_core, client_core = self.arguments.cores[:2]
        batch, endpoint = [], []
        with self.windlass(core=server_core) as server:
            self.load(server, 32, 32, client_core)
            for _ in range(self.arguments.rounds):
                endpoint.append(self.load(server, 32, 96, client_core)["output_throughput"])
                batch.append(self.batch_speed(96, server_core))
        ratios = [e / b for e, b in zip(endpoint, batch)]
        return {"case": "throughput, 32 clients", "endpoint": statistics.median(endpoint), "batch": statistics.median(batch),
                "ratio": round(statistics.median(ratios), 3), "least_ratio": round(min(ratios), 3)}

    def beside_llama(self, clients):
        figures = {}
        for _ in range(self.arguments.rounds):
            for name in ("windlass", "llama"):
                own = name == "windlass"
                with (self.windlass(sequences=clients) if own else self.llama(clients)) as server:
                    self.load(server, clients, clients, windlass=own)
                    report = self.load(server, clients, 3 * clients, windlass=own)
                figures.setdefault(name, []).append((report["output_throughput"], report["p99_ttft_ms"]))
        result = {"case": f"peers, {clients} clients"}
        for name, values in figures.items():
            result[f"{name}_tokens_per_s"] = round(statistics.median(v[0] for v in values), 1)
            result[f"{name}_p99_ttft_ms"] = round(statistics.median(v[1] for v in values), 1)
        result["speed_ratio"] = round(result["windlass_tokens_per_s"] / result["llama_tokens_per_s"], 2)
        return result

    def results(self):
        yield self.added_latency()
        yield self.throughput()
        if self.arguments.llama_server:
            for clients in (8, 32):
                yield self.beside_llama(clients)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--program", required=True)
    options.add_argument("--model", required=True)
    options.add_argument("--llama-server", help="of llama.cpp; without it there is no comparison")
    options.add_argument("--rounds", type=int, default=3)
    arguments = options.parse_args()
    arguments.cores = sorted(os.sched_getaffinity(0))
    if len(arguments.cores) < 2:
        sys.exit("endpoint.py needs two cores: one for the server, one for its clients")
    arguments.threads = len(arguments.cores)
    with tempfile.TemporaryDirectory() as folder:
        for result in Bench(arguments, folder).results():
            print(json.dumps(result | {"load": round(os.getloadavg()[0], 2)}), flush=True)


if __name__ == "__main__":
    main()
