"""llama.cpp's side of the comparison: llama-bench (W1, W2), llama-batched-bench (W3, W4), llama-server (W4 to W6)."""
import concurrent.futures
import http.client
import json
import os
import re
import socket
import subprocess
import time

import peers_workloads as w


class LlamaCpp:
    def __init__(self, options, form):
        self.folder = os.path.join(options.peers, "llama.cpp", "bin")
        self.model = os.path.join(options.peers, "models", f"smollm2-{form}.gguf")
        self.form, self.options = form, options

    def run(self, workload):
        """Results of one workload, in the form of peers_workloads.result."""
        for case, unit, values, more in getattr(self, workload.lower())():
            yield w.result("llama.cpp", self.form, workload, case, unit, values, **more)

    def repetitions(self, tokens=0):
        return self.options.long_repetitions if tokens >= w.LONG_TOKENS else self.options.repetitions

    def command(self, program, *arguments):
        return [os.path.join(self.folder, program), "-m", self.model, "-t", str(self.options.threads), "-fa", "auto",
                *map(str, arguments)]

    def tool(self, program, *arguments):
        """Runs one of the measuring programs; its JSON lines."""
        command = self.command(program, *arguments)
        w.say("+", " ".join(command))
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise SystemExit(f"{program} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def rates(self, tokens, *arguments):
        warm_up = ["--no-warmup"] if tokens >= w.LONG_TOKENS else []
        return self.tool("llama-bench", "-o", "jsonl", "-r", self.repetitions(tokens), *warm_up,
                         *arguments)[0]["samples_ts"]

    def w1(self):
        for tokens in w.PREFILL_TOKENS:
            yield f"prefill {tokens}", "tokens/s", self.rates(tokens, "-p", tokens, "-n", 0), {}

    def w2(self):
        for context in w.DECODE_CONTEXTS:
            rates = self.rates(context, "-p", 0, "-n", w.DECODE_NEW, "-d", context)
            yield f"decode at {context}", "tokens/s", rates, {}

    def batched(self, *arguments):
        return self.tool("llama-batched-bench", "--output-format", "jsonl", *arguments)

    def w3(self):
        cells = max(w.BATCH_SIZES) * (w.BATCH_CONTEXT + w.BATCH_NEW)
        sizes = ",".join(map(str, w.BATCH_SIZES))
        runs = [self.batched("-c", cells, "-npp", w.BATCH_CONTEXT, "-ntg", w.BATCH_NEW, "-npl", sizes)
                for _ in range(self.repetitions())]
        for i, size in enumerate(w.BATCH_SIZES):
            yield f"decode {size} sequences", "tokens/s", [run[i]["speed_tg"] for run in runs], {}

    def w4(self):
        """Its batch program prefills a shared prompt once; its server looks for the prefix in the chosen slot only."""
        prompt = w.SHARED_TOKENS + w.OWN_TOKENS
        seconds = [self.batched("-c", w.SHARED_REQUESTS * (prompt + w.SHARED_NEW), "-npp", prompt, "-ntg",
                                w.SHARED_NEW, "-npl", w.SHARED_REQUESTS, "-pps")[0]["t"]
                   for _ in range(self.repetitions())]
        yield "sharing on", "s", seconds, {}
        seconds = []
        for i in range(self.repetitions(w.LONG_TOKENS)):
            with Server(self, w.SHARED_REQUESTS, w.SHARED_REQUESTS * 2048) as server:
                seconds.append(server.answer(w.shared_prefix_requests(i)))
        yield "sharing off", "s", seconds, {}

    def w5(self):
        requests = w.trace_requests()
        slot = -(-max(len(prompt) + new for prompt, new in requests) // 1024) * 1024
        seconds = []
        for _ in range(self.repetitions(w.LONG_TOKENS)):
            with Server(self, w.SERVER_SEQUENCES, w.SERVER_SEQUENCES * slot) as server:
                seconds.append(server.answer(requests))
        yield "64 requests of the trace", "s", seconds, {}

    def w6(self):
        seconds, peaks = [], []
        for _ in range(self.repetitions()):
            begun = time.perf_counter()
            with Server(self, 1, 4096) as server:
                server.complete(w.random_tokens(w.START_TOKENS, 1), 1)
                seconds.append(time.perf_counter() - begun)
                peaks.append(server.peak_mib())
        yield "start to first token", "s", seconds, {"peak_mib": max(peaks)}


class Server:
    """llama-server on a free port of this machine while a `with` block lasts."""

    def __init__(self, llama, slots, context):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = llama.command("llama-server", "-np", slots, "-c", context, "--host", "127.0.0.1", "--port",
                                self.port, "--threads-http", slots + 4, "--no-webui")
        w.say("+", " ".join(command))
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def __enter__(self):
        while not self.is_ready():
            if self.process.poll() is not None:
                raise SystemExit(f"llama-server ended with status {self.process.returncode} while starting")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def is_ready(self):
        try:
            return self.call("GET", "/health")[0] == 200
        except OSError:
            return False

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=3600)
        try:
            connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def complete(self, prompt, new):
        status, reply = self.call("POST", "/completion", dict(prompt=prompt, n_predict=new, ignore_eos=True,
                                                              temperature=0, cache_prompt=False))
        if status != 200 or json.loads(reply)["tokens_predicted"] != new:
            raise SystemExit(f"llama-server answered {status}: {reply[:500]}")

    def answer(self, requests):
        """Seconds for all of them, given at once."""
        begun = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(len(requests)) as clients:
            list(clients.map(lambda request: self.complete(*request), requests))
        return time.perf_counter() - begun

    def peak_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1]) / 1024
