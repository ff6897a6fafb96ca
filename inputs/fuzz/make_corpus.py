#!/usr/bin/env python3
"""Makes the seeds of the model file fuzzers: a GGUF file of each kind of architecture, and safetensors files.

    pip install numpy gguf && python make_corpus.py
"""

import json
import struct
from pathlib import Path

import gguf
import numpy as np

HERE = Path(__file__).parent


def write_gguf(name, architecture, experts=0, kind=gguf.GGMLQuantizationType.F32):
    """hidden 32, 2 heads of 16, 1 KV head, 1 layer, vocabulary 8."""
    hidden, width = 32, 16 if kind == gguf.GGMLQuantizationType.F32 else 32
    out = gguf.GGUFWriter(HERE / "gguf" / (name + ".gguf"), architecture)
    out.add_block_count(1)
    out.add_embedding_length(hidden)
    out.add_context_length(128)
    out.add_feed_forward_length(width)
    out.add_head_count(2)
    out.add_head_count_kv(1)
    out.add_key_length(16)
    out.add_value_length(16)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_sliding_window(64)
    if experts:
        out.add_expert_count(experts)
        out.add_expert_used_count(1)
    out.add_token_list(["a", "b", "c", "d", "e", "f", "g", "h"])
    out.add_token_scores([0.5] * 8)
    out.add_token_types([1] * 8)
    random = np.random.default_rng(1)

    def tensor(key, *shape):
        if kind == gguf.GGMLQuantizationType.F32 or len(shape) == 1:
            out.add_tensor(key + ".weight", random.normal(0, 1, shape).astype(np.float32))
            return
        weights, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 60, (*shape[:-1], shape[-1] // weights * size), dtype=np.uint8)
        out.add_tensor(key + ".weight", blocks, raw_dtype=kind)

    tensor("token_embd", 8, hidden)
    tensor("output_norm", hidden)
    p = "blk.0."
    for norm in ["attn_norm", "ffn_norm"]:
        tensor(p + norm, hidden)
    tensor(p + "attn_q", 32, hidden)
    tensor(p + "attn_k", 16, hidden)
    tensor(p + "attn_v", 16, hidden)
    tensor(p + "attn_output", hidden, 32)
    if architecture.startswith("gemma"):
        tensor(p + "post_attention_norm", hidden)
        tensor(p + "post_ffw_norm", hidden)
    if architecture in ("qwen3", "gemma3"):
        tensor(p + "attn_q_norm", 16)
        tensor(p + "attn_k_norm", 16)
    if experts:
        tensor(p + "ffn_gate_inp", experts, hidden)
        for part in ["ffn_gate_exps", "ffn_up_exps"]:
            tensor(p + part, experts, width, hidden)
        tensor(p + "ffn_down_exps", experts, hidden, width)
    else:
        for part in ["ffn_gate", "ffn_up"]:
            tensor(p + part, width, hidden)
        tensor(p + "ffn_down", hidden, width)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def write_safetensors(name, header, data_bytes):
    text = json.dumps(header).encode()
    (HERE / "safetensors" / (name + ".safetensors")).write_bytes(
        struct.pack("<Q", len(text)) + text + bytes(range(data_bytes)))


def main():
    for folder in ["gguf", "safetensors"]:
        (HERE / folder).mkdir(exist_ok=True)
    write_gguf("llama", "llama")
    write_gguf("experts", "llama", experts=2)
    write_gguf("gemma3", "gemma3")
    write_gguf("q4_1", "qwen2", kind=gguf.GGMLQuantizationType.Q4_1)
    write_safetensors("two", {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
        "b.weight": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [16, 28]}}, 28)
    write_safetensors("types", {
        "c": {"dtype": "F8_E4M3", "shape": [4, 1], "data_offsets": [0, 4]},
        "d": {"dtype": "I64", "shape": [1], "data_offsets": [4, 12]}}, 12)


if __name__ == "__main__":
    main()
