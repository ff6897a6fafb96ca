#!/usr/bin/env python3
"""How far fast arithmetic is from float32: the log-probability of every token of a text, by each arithmetic.

  bench/precision.py --model MODEL [--text FILE] [--windlass PROGRAM] [--llama PYTHON]

Prints one JSON line per arithmetic: perplexity, and mean and greatest |difference| of a token's natural-log probability
from Windlass's `--precision f32`. --llama adds llama.cpp on the same GGUF file and token ids, through the package
llama-cpp-python of that Python program.
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
LLAMA = """
import json, sys
import numpy
from llama_cpp import Llama
model, ids = sys.argv[1], json.load(sys.stdin)
llama = Llama(model, n_ctx=len(ids) + 1, n_batch=512, n_ubatch=512, logits_all=True, verbose=False,
              n_threads=len(__import__("os").sched_getaffinity(0)), flash_attn=len(sys.argv) > 2)
llama.eval(ids)
logits = numpy.array(llama.scores[: len(ids) - 1], dtype=numpy.float64)
logits -= logits.max(axis=1, keepdims=True)
chosen = logits[numpy.arange(len(ids) - 1), ids[1:]]
print(json.dumps(list(chosen - numpy.log(numpy.exp(logits).sum(axis=1)))))
"""


def scored_by_windlass(options, precision, text):
    """(token ids, log-probabilities of all but the first) of the text."""
    request = dict(custom_id="text", method="POST", url="/v1/completions",
                   body=dict(prompt=text, max_tokens=1, temperature=0, echo=True, logprobs=1, return_token_ids=True))
    with tempfile.TemporaryDirectory() as folder:
        source, answers = os.path.join(folder, "in.jsonl"), os.path.join(folder, "out.jsonl")
        with open(source, "w") as lines:
            lines.write(json.dumps(request) + "\n")
        subprocess.run([options.windlass, "batch", "--model", options.model, "--input", source, "--output", answers,
                        "--precision", precision], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(answers) as lines:
            choice = json.loads(lines.readline())["response"]["body"]["choices"][0]
    ids = choice["prompt_token_ids"]
    return ids, choice["logprobs"]["token_logprobs"][1:len(ids)]


def scored_by_llama(options, ids, flash_attention):
    command = [options.llama, "-c", LLAMA, options.model] + (["flash"] if flash_attention else [])
    done = subprocess.run(command, input=json.dumps(ids), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def report(name, scores, reference):
    differences = [abs(a - b) for a, b in zip(scores, reference, strict=True)]
    print(json.dumps(dict(arithmetic=name, tokens=len(scores),
                          perplexity=round(math.exp(-statistics.fmean(scores)), 5),
                          mean_difference=round(statistics.fmean(differences), 6),
                          greatest_difference=round(max(differences), 5))), flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", default=os.path.join(ROOT, "inputs", "texts", "harbour.txt"))
    parser.add_argument("--windlass", default=os.path.join(ROOT, "build", "release", "jobs", "windlass"))
    parser.add_argument("--llama", metavar="PYTHON", help="a Python program that has llama-cpp-python")
    return parser.parse_args()


def main():
    options = parse()
    with open(options.text) as text:
        text = text.read()
    ids, reference = scored_by_windlass(options, "f32", text)
    report("windlass f32", reference, reference)
    report("windlass fast", scored_by_windlass(options, "fast", text)[1], reference)
    if options.llama:
        report("llama.cpp", scored_by_llama(options, ids, False), reference)
        report("llama.cpp, flash attention", scored_by_llama(options, ids, True), reference)


if __name__ == "__main__":
    sys.exit(main())
