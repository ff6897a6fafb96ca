#!/usr/bin/env python3
"""Makes rope.json: inverse frequencies and attention factors as transformers computes them.

    pip install torch transformers && python make_rope.py
"""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, Phi3Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

CASES = [
    {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
     "original_max_position_embeddings": 8192, "rope_theta": 500000.0},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 2.0, "high_freq_factor": 3.0,
     "original_max_position_embeddings": 256, "rope_theta": 10000.0},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768, "rope_theta": 1e6},
    {"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096, "rope_theta": 10000.0,
     "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 0.707},
    {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "rope_theta": 150000.0,
     "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False},
    {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 2048, "rope_theta": 10000.0,
     "attention_factor": 1.5, "beta_fast": 16, "beta_slow": 4},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 100.0},
]


def floats(tensor):
    return [float(str(np.float32(x))) for x in tensor.tolist()]


def plain(head_dim, theta):
    return 1.0 / (theta ** (torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim))


def main():
    out = []
    for head_dim, theta in ((64, 10000.0), (80, 1e6), (128, 500000.0)):
        out.append({"head_dim": head_dim, "max_position_embeddings": 131072, "rope_parameters": {
            "rope_type": "default", "rope_theta": theta}, "inverse_frequency": floats(plain(head_dim, theta)),
            "attention_factor": 1.0})
    for rope in CASES:
        for head_dim in (64, 96):
            config = LlamaConfig(hidden_size=head_dim * 4, num_attention_heads=4, head_dim=head_dim,
                                 max_position_embeddings=131072, rope_parameters=dict(rope))
            frequency, factor = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, "cpu")
            out.append({"head_dim": head_dim, "max_position_embeddings": 131072, "rope_parameters": rope,
                        "inverse_frequency": floats(frequency), "attention_factor": factor})
    random = np.random.default_rng(3)
    for head_dim, partial in ((96, 1.0), (128, 0.75)):
        half = int(head_dim * partial) // 2
        rope = {"rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": partial,
                "original_max_position_embeddings": 4096,
                "short_factor": [round(float(x), 3) for x in random.uniform(1, 3, half)],
                "long_factor": [round(float(x), 3) for x in random.uniform(1, 60, half)]}
        config = Phi3Config(hidden_size=head_dim * 4, num_attention_heads=4, max_position_embeddings=131072,
                            original_max_position_embeddings=4096, pad_token_id=0, rope_parameters=dict(rope))
        config.head_dim = head_dim
        short, factor = ROPE_INIT_FUNCTIONS["longrope"](config, "cpu", seq_len=4096)
        long, _ = ROPE_INIT_FUNCTIONS["longrope"](config, "cpu", seq_len=4097)
        out.append({"head_dim": head_dim, "max_position_embeddings": 131072, "rope_parameters": rope,
                    "inverse_frequency": floats(short), "long_inverse_frequency": floats(long),
                    "attention_factor": factor})
    (Path(__file__).parent / "rope.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in out) + "\n]\n")


if __name__ == "__main__":
    main()
