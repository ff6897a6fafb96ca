#!/usr/bin/env python3
"""Makes golden files of GGUF's block formats: random blocks and what they stand for, by the Python package gguf.

    pip install numpy gguf && python make_quantized.py

NAME.bin holds 4 rows of 512 weights as a GGUF file would, NAME.f32 their values (little-endian float32).
"""

from pathlib import Path

import gguf
import numpy as np

ROWS, COLUMNS = 4, 512
FLOATS = {  # offsets of the half floats in a block
    "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "IQ4_NL": [0],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "F16": [], "BF16": []}


def main():
    here = Path(__file__).parent
    random = np.random.default_rng(20)
    for name, floats in FLOATS.items():
        kind = gguf.GGMLQuantizationType[name]
        weights, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (ROWS * COLUMNS // weights, size), dtype=np.uint8)
        for at in floats or [0]:
            value = random.normal(0, 0.02, len(blocks)).astype(np.float16)
            blocks[:, at:at + 2] = value.view(np.uint8).reshape(-1, 2)
        if name == "BF16":
            blocks = (random.normal(0, 1, len(blocks)).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
            blocks = blocks.view(np.uint8).reshape(-1, size)
        values = gguf.dequantize(blocks.reshape(ROWS, -1), kind)
        assert values.shape == (ROWS, COLUMNS) and np.isfinite(values).all()
        (here / (name + ".bin")).write_bytes(blocks.tobytes())
        (here / (name + ".f32")).write_bytes(values.astype("<f4").tobytes())


if __name__ == "__main__":
    main()
