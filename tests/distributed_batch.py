#!/usr/bin/env python3
"""The same batch by one process and by several ranks in every layout: the answers are equal.

  distributed_batch.py WINDLASS MODEL LAUNCHER [FLAG …]      LAUNCHER FLAG… is completed with: -n RANKS
"""
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile

PROGRAM, MODEL, LAUNCHER = sys.argv[1], sys.argv[2], sys.argv[3:]
EIGHT_HEADS = pathlib.Path(MODEL).parent / "qwen2-eight-heads"
DEMO = os.environ.get("WINDLASS_DEMO_MODEL")
SHARED_MODELS = [  # model, ranks, layout
    (EIGHT_HEADS, 2, "mixed=1xtp2"),
    (EIGHT_HEADS, 4, "mixed=1xtp4"),
    (EIGHT_HEADS, 8, "mixed=1xtp8"),
    (EIGHT_HEADS, 5, "mixed=2xtp2,controller=dedicated"),
    (pathlib.Path(MODEL).parent / "mixtral-4x2", 2, "mixed=1xtp2"),
    (EIGHT_HEADS, 4, "prefill=1xtp2,decode=1xtp2"),
    (EIGHT_HEADS, 5, "prefill=1xtp4,decode=1"),
    (pathlib.Path(MODEL).parent / "gemma2-softcaps", 3, "prefill=1,decode=1xtp2"),
    (MODEL, 2, "mixed=1xpp2"),
    (EIGHT_HEADS, 4, "mixed=1xtp2pp2"),
    (MODEL, 3, "prefill=1xpp2,decode=1"),
    (MODEL, 3, "prefill=1,decode=1xpp2"),
    (pathlib.Path(MODEL).parent / "gemma3-two-ropes", 4, "prefill=1xpp3,decode=1"),
    (EIGHT_HEADS, 6, "prefill=1xtp2pp2,decode=1xpp2"),
] + ([(DEMO, 3, "mixed=1xtp3"), (DEMO, 2, "mixed=1xtp2")] if DEMO else [])
OVER_TCP = {"OMPI_MCA_btl": "self,tcp", "OMPI_MCA_pml": "ob1"}  # where Open MPI 4 makes no windows: messages instead
COPIES = {"window", "message"}
RUNS = [  # ranks, options, how KV may move, environment, largest file in bytes
    (2, ["--layout", "mixed=2"], set(), {}, None),
    (2, ["--layout", "prefill=1,decode=1", "--transport", "window"], {"window"}, {}, None),
    (2, ["--layout", "prefill=1,decode=1", "--transport", "message"], {"message"}, {}, None),
    (2, ["--layout", "prefill=1,decode=1", "--transport", "shared", "--kv-cache-memory", "300KiB"], {"shared"}, {}, None),
    (4, ["--layout", "prefill=2,decode=2", "--kv-cache-memory", "300KiB"], {"shared"} | COPIES, {}, None),
    (4, ["--layout", "prefill=1,decode=1,spare=1,controller=dedicated", "--kv-cache-memory", "4MiB"], {"shared"}, {}, None),
    (4, ["--layout", "prefill=2,decode=2", "--kv-cache-memory", "64MiB"], COPIES, OVER_TCP, 32 << 20),
]


def write_requests(path):
    """Prompts around the borders of blocks; greedy and drawn; several choices, log-probabilities, penalties."""
    with open(path, "w") as out:
        for i in range(18):
            tokens = [1, 5, 63, 64, 65, 150][i % 6]
            body = {"prompt": [(7 + i * 3 + j * 31) % 300 + 3 for j in range(tokens)], "max_tokens": 1 + i % 9,
                    "temperature": 0.8 if i % 2 else 0, "seed": i}
            body |= {"n": 3} if i % 5 == 0 else {}
            body |= {"logprobs": 2, "frequency_penalty": 0.5} if i % 7 == 0 else {}
            print(json.dumps({"custom_id": f"r{i}", "method": "POST", "url": "/v1/completions", "body": body}), file=out)


def answers(path):
    """custom_id -> what has to be equal; how much came from a cache may differ."""
    found = {}
    for line in open(path):
        record = json.loads(line)
        if "custom_id" not in record:
            continue
        body = record["response"]["body"]
        body.pop("id"), body.pop("created")
        body.get("usage", {}).pop("prompt_tokens_details", None)
        assert record["custom_id"] not in found, f"{record['custom_id']} was answered twice"
        found[record["custom_id"]] = body
    return found


def handed_over(table):
    found = re.search(r"KV handed over.*", table)
    return found.group(0) if found else ""


def ways(table):
    """Which transports moved KV."""
    return {way for requests, way in re.findall(r"(\d+) requests, \d+ pages, [^;]*? by (\w+)", handed_over(table)) if requests != "0"}


def refusal(folder, model, ranks, layout):
    batch = [PROGRAM, "batch", "--model", str(model), "--input", str(folder / "in.jsonl")]
    done = subprocess.run([*LAUNCHER, "-n", str(ranks), *batch, "--output", str(folder / "no.jsonl"), "--layout", layout],
                          capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def shared_model_failures(folder):
    """Ranks that share a model answer as one rank does; a degree that cannot be is refused."""
    failures, expected = 0, {}
    for number, (model, ranks, layout) in enumerate(SHARED_MODELS):
        batch = [PROGRAM, "batch", "--model", str(model), "--input", str(folder / "in.jsonl")]
        if model not in expected:
            subprocess.run([*batch, "--output", str(folder / "tp_one.jsonl"), "--overwrite", "--quiet"], check=True)
            expected[model] = answers(folder / "tp_one.jsonl")
        output = folder / f"tp{number}.jsonl"
        done = subprocess.run([*LAUNCHER, "-n", str(ranks), *batch, "--output", str(output), "--layout", layout],
                              capture_output=True, text=True)
        right = (done.returncode == 0 and answers(output) == expected[model]
                 and bool(ways(done.stdout)) == ("prefill" in layout) and ways(done.stdout) <= COPIES)
        print(f"{pathlib.Path(model).name} {layout} on {ranks} ranks: {'equal' if right else 'DIFFERENT'}", flush=True)
        if not right:
            failures += 1
            print(done.returncode, done.stdout, done.stderr, sep="\n")
    told = "use one of: 1, 2, 3, 4, 5, 6, 7, 8" in refusal(folder, EIGHT_HEADS, 9, "mixed=1xtp9")
    print(f"a degree that the model has not: {'refused' if told else 'NOT REFUSED'}")
    stages = "use one of: 1 to 3" in refusal(folder, MODEL, 4, "mixed=1xpp4")
    print(f"more stages than layers: {'refused' if stages else 'NOT REFUSED'}")
    return failures + (0 if told else 1) + (0 if stages else 1)


def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    write_requests(folder / "in.jsonl")
    batch = [PROGRAM, "batch", "--model", MODEL, "--input", str(folder / "in.jsonl")]
    subprocess.run([*batch, "--output", str(folder / "one.jsonl"), "--quiet"], check=True)
    expected = answers(folder / "one.jsonl")
    assert len(expected) == 18, len(expected)
    failures = 0
    for number, (ranks, options, allowed, environment, file_bytes) in enumerate(RUNS):
        output = folder / f"{number}.jsonl"
        done = subprocess.run([*LAUNCHER, "-n", str(ranks), *batch, "--output", str(output), *options],
                              capture_output=True, text=True, env=os.environ | environment,
                              preexec_fn=file_bytes and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes,) * 2)))
        warnings = done.stderr.count("KV is copied, not shared")
        right = (done.returncode == 0 and answers(output) == expected and bool(ways(done.stdout)) == bool(allowed)
                 and ways(done.stdout) <= allowed and warnings == (1 if file_bytes else 0))
        print(f"{' '.join(options)} on {ranks} ranks: {'equal' if right else 'DIFFERENT'} {handed_over(done.stdout)}", flush=True)
        if not right:
            failures += 1
            print(done.returncode, done.stdout, done.stderr, sep="\n")
    refused = subprocess.run([*LAUNCHER, "-n", "2", *batch, "--output", str(folder / "no.jsonl"), "--layout", "mixed=3"],
                             capture_output=True, text=True)
    told = "takes 3 ranks (3 mixed), but the job has 2" in refused.stderr
    print(f"a layout for another number of ranks: {'refused' if told else 'NOT REFUSED'}")
    failures += shared_model_failures(folder)
    return 1 if failures or refused.returncode == 0 or not told else 0


if __name__ == "__main__":
    sys.exit(main())
