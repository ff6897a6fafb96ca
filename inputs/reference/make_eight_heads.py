#!/usr/bin/env python3
"""Makes qwen2-eight-heads: a tiny qwen2 with eight KV heads and biases, which eight ranks can share. Standard library only.

    python make_eight_heads.py [--out DIR]

It has no golden.json: what is compared is one rank's answers with those of several.
"""
import argparse
import json
import random
import struct
from pathlib import Path

HIDDEN, HEADS, KV_HEADS, DIM, FF, LAYERS, VOCAB = 64, 16, 8, 16, 288, 2, 512
CONFIG = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "bos_token_id": 1, "eos_token_id": 2,
          "hidden_act": "silu", "max_position_embeddings": 1024, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
          "tie_word_embeddings": True, "torch_dtype": "bfloat16", "hidden_size": HIDDEN, "head_dim": DIM,
          "intermediate_size": FF, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
          "num_key_value_heads": KV_HEADS, "vocab_size": VOCAB, "use_sliding_window": False}


def shapes():
    """name -> (shape, standard deviation, mean)"""
    found = {"model.embed_tokens.weight": ([VOCAB, HIDDEN], 0.5, 0), "model.norm.weight": ([HIDDEN], 0.1, 1)}
    for layer in range(LAYERS):
        start = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[start + norm + ".weight"] = ([HIDDEN], 0.1, 1)
        for name, heads in (("q_proj", HEADS), ("k_proj", KV_HEADS), ("v_proj", KV_HEADS)):
            found[start + f"self_attn.{name}.weight"] = ([heads * DIM, HIDDEN], 0.2, 0)
            found[start + f"self_attn.{name}.bias"] = ([heads * DIM], 0.3, 0)
        found[start + "self_attn.o_proj.weight"] = ([HIDDEN, HEADS * DIM], 0.1, 0)
        found[start + "mlp.gate_proj.weight"] = ([FF, HIDDEN], 0.2, 0)
        found[start + "mlp.up_proj.weight"] = ([FF, HIDDEN], 0.2, 0)
        found[start + "mlp.down_proj.weight"] = ([HIDDEN, FF], 0.1, 0)
    return found


def bfloat16(value):
    return struct.pack("<f", value)[2:]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    folder = parser.parse_args().out / "qwen2-eight-heads"
    folder.mkdir(exist_ok=True)
    draw = random.Random(47)
    header, data = {}, bytearray()
    for name, (shape, deviation, mean) in shapes().items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        begin = len(data)
        for _ in range(count):
            data += bfloat16(draw.gauss(mean, deviation))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, len(data)]}
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(words)) + words + data)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")


if __name__ == "__main__":
    main()
