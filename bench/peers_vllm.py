#!/usr/bin/env python3
"""vLLM's side of the comparison; peers.py runs it with the Python of FOLDER/venv-vllm. One process per workload, one JSON line
per result.

  peers_vllm.py MODEL WORKLOAD THREADS REPETITIONS LONG_REPETITIONS [sharing | first-token]
"""
import glob
import json
import os
import resource
import subprocess
import sys
import time

import peers_workloads as w

MODEL, WORKLOAD, THREADS, REPETITIONS, LONG_REPETITIONS = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
MODE = sys.argv[6] if len(sys.argv) > 6 else ""


def restart_prepared():
    """Its CPU build wants cores, a KV size and a faster allocator from the environment, the last before it starts."""
    if os.environ.get("PEERS_VLLM_PREPARED"):
        return
    cores = sorted(os.sched_getaffinity(0))[: int(THREADS)]
    allocator = glob.glob("/usr/lib/*/libtcmalloc_minimal.so.4")[:1]
    openmp = glob.glob(os.path.join(sys.prefix, "lib", "libiomp5.so"))[:1]
    os.environ.update(PEERS_VLLM_PREPARED="1", LD_PRELOAD=":".join(allocator + openmp), OMP_NUM_THREADS=THREADS,
                      VLLM_CPU_OMP_THREADS_BIND=",".join(map(str, cores)), VLLM_ENABLE_V1_MULTIPROCESSING="0",
                      VLLM_CPU_KVCACHE_SPACE="4", VLLM_LOGGING_LEVEL="ERROR", VLLM_NO_USAGE_STATS="1",
                      HF_HUB_OFFLINE="1")
    os.execv(sys.executable, [sys.executable, *sys.argv])


class Engine:
    def __init__(self, sharing):
        from vllm import LLM, SamplingParams
        self.parameters = SamplingParams
        self.llm = LLM(MODEL, dtype="bfloat16", max_model_len=8192, max_num_seqs=w.SERVER_SEQUENCES,
                       enable_prefix_caching=sharing)

    def options(self, new):
        return self.parameters(max_tokens=new, ignore_eos=True, temperature=0, detokenize=False)

    def seconds(self, requests):
        """Time of (prompt, new tokens) requests given at once."""
        prompts = [{"prompt_token_ids": prompt} for prompt, _ in requests]
        begun = time.perf_counter()
        answers = self.llm.generate(prompts, [self.options(new) for _, new in requests], use_tqdm=False)
        spent = time.perf_counter() - begun
        if any(len(answer.outputs[0].token_ids) != new for answer, (_, new) in zip(answers, requests)):
            raise SystemExit("vLLM stopped early")
        return spent

    def decode_rate(self, prompt, new):
        """Tokens a second of one sequence after its first token."""
        engine = self.llm.llm_engine
        engine.add_request(f"one-{time.monotonic_ns()}", {"prompt_token_ids": prompt}, self.options(1 + new))
        first = None
        while engine.has_unfinished_requests():
            if engine.step() and first is None:
                first = time.perf_counter()
        return new / (time.perf_counter() - first)


def report(workload, case, unit, values, **more):
    print(json.dumps(w.result("vllm", "bf16", workload, case, unit, values, **more)), flush=True)


def repetitions(tokens=0):
    return LONG_REPETITIONS if tokens >= w.LONG_TOKENS else REPETITIONS


def w1(engine):
    for tokens in w.PREFILL_TOKENS:
        engine.seconds([(w.random_tokens(tokens, 50), 1)])
        report("W1", f"prefill {tokens}", "tokens/s",
               [tokens / engine.seconds([(w.random_tokens(tokens, 100 + i), 1)]) for i in range(repetitions(tokens))])


def w2(engine):
    for context in w.DECODE_CONTEXTS:
        report("W2", f"decode at {context}", "tokens/s",
               [engine.decode_rate(w.random_tokens(context, 7000 + i), w.DECODE_NEW)
                for i in range(repetitions(context))])


def w3(engine):
    for size in w.BATCH_SIZES:
        rates = []
        for i in range(repetitions()):
            prompts = [w.random_tokens(w.BATCH_CONTEXT, 7000 + 100 * i + k) for k in range(size)]
            first = engine.seconds([(prompt, 1) for prompt in prompts])
            both = engine.seconds([(prompt, 1 + w.BATCH_NEW) for prompt in prompts])
            rates.append(size * w.BATCH_NEW / (both - first))
        report("W3", f"decode {size} sequences", "tokens/s", rates)


def w4(engine):
    report("W4", "sharing off", "s",
           [engine.seconds(w.shared_prefix_requests(i)) for i in range(repetitions(w.LONG_TOKENS))])
    subprocess.run([sys.executable, *sys.argv[:6], "sharing"], check=True)  # two engines in one process interfere


def w5(engine):
    report("W5", "64 requests of the trace", "s",
           [engine.seconds(w.trace_requests()) for _ in range(repetitions(w.LONG_TOKENS))])


def w6():
    seconds, peaks = [], []
    for _ in range(REPETITIONS):
        begun = time.perf_counter()
        with subprocess.Popen([sys.executable, *sys.argv[:6], "first-token"], stdout=subprocess.PIPE, text=True) as run:
            for line in run.stdout:
                if line.startswith("first token "):
                    seconds.append(time.perf_counter() - begun)
                    peaks.append(float(line.split()[2]))
    report("W6", "start to first token", "s", seconds, peak_mib=max(peaks))


def main():
    restart_prepared()
    if WORKLOAD == "W6" and not MODE:
        return w6()
    engine = Engine(sharing=MODE == "sharing")
    engine.seconds([(w.random_tokens(w.START_TOKENS, 1), 1)])
    if MODE == "first-token":
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return print(f"\nfirst token {peak_mib}", flush=True)
    if MODE == "sharing":
        return report("W4", "sharing on", "s",
                      [engine.seconds(w.shared_prefix_requests(i)) for i in range(REPETITIONS)])
    {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W5": w5}[WORKLOAD](engine)


if __name__ == "__main__":
    main()
