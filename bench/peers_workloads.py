"""The workloads W1 to W6 as numbers and prompts; bench/engine_bench.cpp and bench/workloads.cpp have the same numbers."""
import csv
import os
import random
import statistics
import sys

VOCABULARY, FIRST_ORDINARY_TOKEN = 49152, 64  # SmolLM2's
PREFILL_TOKENS = (512, 2048, 7000)
DECODE_CONTEXTS, DECODE_NEW = (512, 7000), 128
BATCH_SIZES, BATCH_CONTEXT, BATCH_NEW = (8, 32), 256, 64
SHARED_REQUESTS, SHARED_TOKENS, OWN_TOKENS, SHARED_NEW = 32, 1024, 32, 64
SERVER_SEQUENCES = 32  # most that a server runs at once in W4 and W5
LONG_TOKENS = 4096  # from here on a case counts as long (--long-repetitions)
START_TOKENS = 16
TRACE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "inputs", "traces", "azure_2023_conv_64.csv")


def random_tokens(count, seed):
    generator = random.Random(seed)
    return [generator.randrange(FIRST_ORDINARY_TOKEN, VOCABULARY) for _ in range(count)]


def shared_prefix_requests(seed):
    """W4: (prompt, new tokens) of requests that begin alike."""
    head = random_tokens(SHARED_TOKENS, 1_000_000 + seed)
    own = (random_tokens(OWN_TOKENS, 2_000_000 + 1000 * seed + i) for i in range(SHARED_REQUESTS))
    return [(head + tail, SHARED_NEW) for tail in own]


def trace_requests():
    """W5: (prompt, new tokens) for each row of the trace."""
    with open(TRACE, newline="") as rows:
        sizes = [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(rows)]
    return [(random_tokens(prompt, 3_000_000 + i), new) for i, (prompt, new) in enumerate(sizes)]


def result(peer, form, workload, case, unit, values, **more):
    """One result as the table and the results file have it."""
    values = [float(v) for v in values]
    return dict(peer=peer, format=form, workload=workload, case=case, unit=unit, min=min(values),
                median=statistics.median(values), max=max(values), reps=len(values),
                load=round(os.getloadavg()[0], 2), **more)


def say(*words):
    print(*words, file=sys.stderr, flush=True)
