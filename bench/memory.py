#!/usr/bin/env python3
"""Peak resident memory of `windlass batch` over its weights, where it would grow if anything did.

  bench/memory.py [--program build/release/jobs/windlass] [--lines 100000] [--prompts 32] [--threads N]

Both cases run on random weights: prompts that ask for `echo` and the log-probabilities of every token, of a
vocabulary of 151,936 (Qwen's), and many lines of input. One JSON line for each; what was touched of the KV pool (at
most pool_mib) is counted as if it were not wanted.
"""
import argparse
import json
import os
import random
import struct
import subprocess
import tempfile

HIDDEN, HEADS, FEED_FORWARD, LAYERS, PROMPT_TOKENS = 64, 4, 128, 2, 2000
CONFIG = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=HIDDEN, num_attention_heads=HEADS,
              num_key_value_heads=HEADS, num_hidden_layers=LAYERS, intermediate_size=FEED_FORWARD,
              rms_norm_eps=1e-5, rope_theta=10000.0, max_position_embeddings=4096,
              tie_word_embeddings=True, torch_dtype="bfloat16", hidden_act="silu", eos_token_id=1, bos_token_id=0)
POOL_MIB = 64
MANY_WORDS, FEW_WORDS = 151936, 4096


def shapes(vocabulary):
    yield "model.embed_tokens.weight", (vocabulary, HIDDEN)
    yield "model.norm.weight", (HIDDEN,)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for name in "qkvo":
            yield f"{at}self_attn.{name}_proj.weight", (HIDDEN, HIDDEN)
        for name in ("gate", "up"):
            yield f"{at}mlp.{name}_proj.weight", (FEED_FORWARD, HIDDEN)
        yield f"{at}mlp.down_proj.weight", (HIDDEN, FEED_FORWARD)
        yield f"{at}input_layernorm.weight", (HIDDEN,)
        yield f"{at}post_attention_layernorm.weight", (HIDDEN,)


def write_model(folder, vocabulary):
    header, at, generator = {}, 0, random.Random(1)
    for name, shape in shapes(vocabulary):
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = dict(dtype="BF16", shape=shape, data_offsets=[at, at + size])
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    noise = struct.pack("<4096H", *(0x3C00 | generator.randrange(2) << 15 | generator.randrange(128) for _ in range(4096)))
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.write((noise * (at // len(noise) + 1))[:at])
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(CONFIG | dict(vocab_size=vocabulary), file)


def measure(options, model, case, bodies):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", dir=model) as lines, tempfile.TemporaryDirectory(dir=model) as folder:
        for i, body in enumerate(bodies):
            print(json.dumps(dict(custom_id=str(i), method="POST", url="/v1/completions", body=body)), file=lines)
        lines.flush()
        output = os.path.join(folder, "out.jsonl")
        command = [options.program, "batch", "--model", model, "--input", lines.name, "--output", output, "--quiet",
                   "--threads", str(options.threads), "--kv-cache-memory", f"{POOL_MIB}MiB"]
        run = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
        if run.returncode:
            raise SystemExit(f"{' '.join(command)} ended with status {run.returncode}")
        with open(output) as answers:
            count = sum(1 for _ in answers)
    weights = os.path.getsize(os.path.join(model, "model.safetensors")) / 2**20
    peak = usage.ru_maxrss / 1024
    print(json.dumps(dict(case=case, answers=count, peak_mib=round(peak, 1), weights_mib=round(weights, 1), pool_mib=POOL_MIB,
                          over_weights_mib=round(peak - weights, 1))), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=os.path.join(os.path.dirname(__file__), "..", "build", "release", "jobs", "windlass"))
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    options.program = os.path.abspath(options.program)
    generator = random.Random(2)
    with tempfile.TemporaryDirectory() as model:
        write_model(model, MANY_WORDS)
        measure(options, model, f"echo and logprobs, {options.prompts} prompts of {PROMPT_TOKENS} tokens",
                (dict(prompt=[generator.randrange(2, MANY_WORDS) for _ in range(PROMPT_TOKENS)], max_tokens=1, echo=True,
                      logprobs=5, ignore_eos=True) for _ in range(options.prompts)))
        write_model(model, FEW_WORDS)
        measure(options, model, f"{options.lines} lines",
                (dict(prompt=[generator.randrange(2, FEW_WORDS) for _ in range(8)], max_tokens=1, ignore_eos=True)
                 for _ in range(options.lines)))


if __name__ == "__main__":
    main()
