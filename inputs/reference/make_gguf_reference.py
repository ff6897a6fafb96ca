#!/usr/bin/env python3
"""Makes llama-kquants: a tiny llama as a GGUF file of many block formats, and what transformers computes for it.

    python make_gguf_reference.py [--out DIR]

Blocks have random codes, and scales that spread the values as make_reference.py's weights are; their values (by the
package gguf) are what transformers runs on, in float32. Needs what make_reference.py needs.
"""

import argparse
import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

import cases
import make_reference as reference

HIDDEN, HEADS, KV_HEADS, DIM, FF, LAYERS, VOCAB = 256, 8, 2, 32, 256, 2, 512
SPEC = {"name": "llama-kquants", "seed": 31, "config": reference.base_config(
    "llama", "LlamaForCausalLM", hidden_size=HIDDEN, intermediate_size=FF, num_hidden_layers=LAYERS,
    num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, vocab_size=VOCAB, rope_scaling=None)}

TYPES = {  # layer 0 as Q4_K_M mixes them, layer 1 with the rest
    "token_embd": "Q4_K", "output": "Q6_K",
    "blk.0.attn_q": "Q4_K", "blk.0.attn_k": "Q4_K", "blk.0.attn_v": "Q6_K", "blk.0.attn_output": "Q5_K",
    "blk.0.ffn_gate": "Q4_K", "blk.0.ffn_up": "Q4_K", "blk.0.ffn_down": "Q6_K",
    "blk.1.attn_q": "Q5_0", "blk.1.attn_k": "IQ4_NL", "blk.1.attn_v": "Q5_1", "blk.1.attn_output": "Q4_0",
    "blk.1.ffn_gate": "Q8_0", "blk.1.ffn_up": "Q4_1", "blk.1.ffn_down": "Q5_K"}
HALVES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "IQ4_NL": [0],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}  # offsets of the half floats in a block
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}


def random_blocks(rng, kind, rows, columns, deviation):
    """Blocks of about that standard deviation; minimums are set so that the mean is near 0."""
    weights, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    blocks = rng.integers(0, 256, (rows * columns // weights, size), dtype=np.uint8)
    for n, at in enumerate(HALVES[kind]):
        value = np.full(len(blocks), 1e-3) * rng.uniform(0.8, 1.25, len(blocks))
        if kind in ("Q4_1", "Q5_1") and n == 1:
            value = -value * (7.5 if kind == "Q4_1" else 15.5)
        if kind in ("Q4_K", "Q5_K") and n == 1:
            value = value * (7.5 if kind == "Q4_K" else 15.5)
        blocks[:, at:at + 2] = value.astype(np.float16).view(np.uint8).reshape(-1, 2)
    blocks = blocks.reshape(rows, -1)
    spread = gguf.dequantize(blocks, gguf.GGMLQuantizationType[kind]).std()
    flat = blocks.reshape(-1, size)
    for at in HALVES[kind]:
        scaled = flat[:, at:at + 2].copy().view(np.float16).astype(np.float32) * (deviation / spread)
        flat[:, at:at + 2] = scaled.astype(np.float16).view(np.uint8).reshape(-1, 2)
    return blocks


def halves(values, heads):
    """Rows of a llama GGUF's q or k, whose rope pairs are neighbours, in the order of safetensors files."""
    return values.reshape(heads, DIM // 2, 2, -1).swapaxes(1, 2).reshape(heads * DIM, -1)


def make_tensors():
    """GGUF name -> (data, type or None), and safetensors name -> float32 values."""
    rng = np.random.default_rng(SPEC["seed"])
    shapes = {"token_embd": (VOCAB, HIDDEN), "output": (VOCAB, HIDDEN), "attn_q": (HEADS * DIM, HIDDEN),
              "attn_k": (KV_HEADS * DIM, HIDDEN), "attn_v": (KV_HEADS * DIM, HIDDEN),
              "attn_output": (HIDDEN, HEADS * DIM), "ffn_gate": (FF, HIDDEN), "ffn_up": (FF, HIDDEN),
              "ffn_down": (HIDDEN, FF)}
    stored, plain = {}, {}
    for name, kind in TYPES.items():
        short = name.split(".")[-1]
        deviation = {"token_embd": 1.0, "output": 0.3}.get(short, 0.12)
        blocks = random_blocks(rng, kind, *shapes[short], deviation)
        stored[name] = (blocks, gguf.GGMLQuantizationType[kind])
        values = gguf.dequantize(blocks, gguf.GGMLQuantizationType[kind])
        if short in ("attn_q", "attn_k"):
            values = halves(values, HEADS if short == "attn_q" else KV_HEADS)
        if short in NAMES:
            plain["model.layers.%s.%s.weight" % (name.split(".")[1], NAMES[short])] = values
        else:
            plain["model.embed_tokens.weight" if short == "token_embd" else "lm_head.weight"] = values
    for layer in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            values = (1 + 0.2 * rng.standard_normal(HIDDEN)).astype(np.float32)
            stored["blk.%d.%s" % (layer, norm)] = (values, None)
            plain["model.layers.%d.%s.weight" % (layer, NAMES[norm])] = values
    values = (1 + 0.2 * rng.standard_normal(HIDDEN)).astype(np.float32)
    stored["output_norm"] = (values, None)
    plain["model.norm.weight"] = values
    return stored, plain


def write_gguf(path, tensors, tokenizer):
    out = gguf.GGUFWriter(path, "llama")
    out.add_name(SPEC["name"])
    out.add_block_count(LAYERS)
    out.add_embedding_length(HIDDEN)
    out.add_context_length(SPEC["config"]["max_position_embeddings"])
    out.add_feed_forward_length(FF)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV_HEADS)
    out.add_rope_dimension_count(DIM)
    out.add_rope_freq_base(SPEC["config"]["rope_theta"])
    out.add_layer_norm_rms_eps(SPEC["config"]["rms_norm_eps"])
    model = json.loads(tokenizer.to_str())["model"]
    pieces = [p for p, _ in sorted(model["vocab"].items(), key=lambda x: x[1])]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("llama-bpe")
    out.add_token_list(pieces)
    out.add_token_types([3 if i < 3 else 1 for i in range(len(pieces))])
    out.add_token_merges([" ".join(m) for m in model["merges"]])
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_add_bos_token(True)
    out.add_chat_template(reference.CHATML)
    for name, (data, kind) in tensors.items():
        out.add_tensor(name + ".weight", data, raw_dtype=kind)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", type=Path, default=Path(__file__).parent)
    at = args.parse_args().out / SPEC["name"]
    plain = at / "plain"
    plain.mkdir(parents=True, exist_ok=True)
    stored, values = make_tensors()
    save_file({n: torch.from_numpy(np.ascontiguousarray(v)) for n, v in values.items()},
              plain / "model.safetensors", {"format": "pt"})
    reference.dump(SPEC["config"], plain / "config.json")
    tokenizer = reference.write_tokenizer("llama3", VOCAB, cases.STRINGS, plain)
    write_gguf(at / "model.gguf", stored, tokenizer)
    golden = reference.tiny_golden(SPEC, (at, plain), tokenizer, cases.STRINGS)
    shutil.rmtree(plain)
    print("min margin %.3f, noise %s" % (min(min(p["continuation"]["margins"]) for p in golden["prompts"]),
                                         [p["noise"] for p in golden["prompts"]]))


if __name__ == "__main__":
    main()
