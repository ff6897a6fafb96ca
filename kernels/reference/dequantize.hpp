/// The value of every weight of a model file, by the formulas of its format, one block at a time.
///
/// d, m: half floats at the start of the block; q: codes. Blocks of 32 keep codes j and j + 16 in the low and the high
/// half of byte j.
///
/// | type | bytes of a block | value |
/// | --- | --- | --- |
/// | Q8_0   | d, int8 q[32]                    | d q |
/// | Q4_0   | d, nibbles[16]                   | d (q - 8) |
/// | Q4_1   | d, m, nibbles[16]                | d q + m |
/// | Q5_0   | d, fifth bits u32, nibbles[16]   | d (q - 16) |
/// | Q5_1   | d, m, fifth bits u32, nibbles[16]| d q + m |
/// | IQ4_NL | d, nibbles[16]                   | d table[q] |
/// | Q4_K   | d, m, 6-bit scales[12], nibbles[128]                    | (d sc) q - (m mn), per 32 |
/// | Q5_K   | d, m, 6-bit scales[12], fifth bits[32], nibbles[128]    | (d sc) q - (m mn), per 32 |
/// | Q6_K   | low nibbles[128], high pairs[64], int8 sc[16], d        | (d sc) (q - 32), per 16 |
/// | F8_E4M3 | sign, 4 exponent bits (bias 7), 3 mantissa bits; 0x7f and 0xff are NaN, there is no infinity | |
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/file_types.hpp"

namespace windlass {

/// IQ4_NL's sixteen values.
constexpr std::array<std::int8_t, 16> iq4_nl_values{-127, -104, -83, -65, -49, -35, -22, -10,
                                                    1,    13,   25,  38,  53,  69,  89,  113};

/// Sub-block `index` (0..7) of the twelve bytes of 6-bit scales and minimums of Q4_K and Q5_K.
struct ScaleAndMin {
  int scale, min;
};
constexpr ScaleAndMin k_scale_and_min(std::uint8_t const* packed, int index) {
  if (index < 4) return {packed[index] & 63, packed[index + 4] & 63};
  return {(packed[index + 4] & 15) | (packed[index - 4] >> 6 << 4),
          (packed[index + 4] >> 4) | (packed[index] >> 6 << 4)};
}

float f8_e4m3_to_float(std::uint8_t bits);

namespace reference {
/// values[i] for the whole blocks in `bytes`; values.size() is a multiple of block_weights(type) and bytes.size() the
/// row_bytes of it.
void dequantize(FileType type, std::span<std::byte const> bytes, std::span<float> values);
}  // namespace reference

}  // namespace windlass
