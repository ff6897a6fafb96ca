#!/usr/bin/env python3
"""The same batch by one process and by several ranks in every layout: the answers are equal.

  distributed_batch.py WINDLASS MODEL LAUNCHER [FLAG …]      LAUNCHER FLAG… is completed with: -n RANKS
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

PROGRAM, MODEL, LAUNCHER = sys.argv[1], sys.argv[2], sys.argv[3:]
RUNS = [  # ranks, options, whether KV moves
    (2, ["--layout", "mixed=2"], False),
    (2, ["--layout", "prefill=1,decode=1", "--transport", "window"], True),
    (2, ["--layout", "prefill=1,decode=1", "--transport", "message"], True),
    (4, ["--layout", "prefill=1,decode=1,spare=1,controller=dedicated", "--kv-cache-memory", "4MiB"], True),
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


def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    write_requests(folder / "in.jsonl")
    batch = [PROGRAM, "batch", "--model", MODEL, "--input", str(folder / "in.jsonl")]
    subprocess.run([*batch, "--output", str(folder / "one.jsonl"), "--quiet"], check=True)
    expected = answers(folder / "one.jsonl")
    assert len(expected) == 18, len(expected)
    failures = 0
    for number, (ranks, options, moves) in enumerate(RUNS):
        output = folder / f"{number}.jsonl"
        done = subprocess.run([*LAUNCHER, "-n", str(ranks), *batch, "--output", str(output), *options],
                              capture_output=True, text=True)
        moved = re.search(r"KV moved: (\d+) requests, (\d+) pages", done.stderr)
        right = (done.returncode == 0 and answers(output) == expected
                 and (int(moved.group(1)) > 0 if moves else moved is None))
        print(f"{' '.join(options)} on {ranks} ranks: {'equal' if right else 'DIFFERENT'}"
              f"{', ' + moved.group(0) if moved else ''}", flush=True)
        if not right:
            failures += 1
            print(done.returncode, done.stdout, done.stderr, sep="\n")
    refused = subprocess.run([*LAUNCHER, "-n", "2", *batch, "--output", str(folder / "no.jsonl"), "--layout", "mixed=3"],
                             capture_output=True, text=True)
    told = "takes 3 ranks (3 mixed), but the job has 2" in refused.stderr
    print(f"a layout for another number of ranks: {'refused' if told else 'NOT REFUSED'}")
    return 1 if failures or refused.returncode == 0 or not told else 0


if __name__ == "__main__":
    sys.exit(main())
