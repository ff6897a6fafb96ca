#include "kernels/reference/dequantize.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/float_formats.hpp"
#include "src/core/error.hpp"

namespace windlass {

float f8_e4m3_to_float(std::uint8_t bits) {
  int const exponent = (bits >> 3) & 15, mantissa = bits & 7;
  float magnitude;
  if (exponent == 15 && mantissa == 7) {
    magnitude = std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = float(mantissa) * 0x1p-9f;
  } else {
    magnitude = std::ldexp(float(8 + mantissa), exponent - 10);
  }
  return bits & 0x80 ? -magnitude : magnitude;
}

namespace {

using Bytes = std::uint8_t const*;

std::uint16_t load_u16(Bytes at) { return std::uint16_t(at[0] | at[1] << 8); }
float load_half(Bytes at) { return half_to_float(load_u16(at)); }

float load_f32(Bytes at) {
  float value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// Code i (0..31) of sixteen bytes of nibbles.
int nibble(Bytes nibbles, int i) { return i < 16 ? nibbles[i] & 15 : nibbles[i - 16] >> 4; }

/// The fifth bit of code i: bit i of four bytes, in its place.
int fifth_bit(Bytes bits, int i) { return (bits[i / 8] >> (i % 8) & 1) << 4; }

float small_block_value(FileType type, Bytes b, int i) {
  float const d = load_half(b);
  if (type == FileType::q8_0) return d * float(std::int8_t(b[2 + i]));
  if (type == FileType::q4_0) return d * float(nibble(b + 2, i) - 8);
  if (type == FileType::iq4_nl) return d * float(iq4_nl_values[std::size_t(nibble(b + 2, i))]);
  if (type == FileType::q4_1) return std::fma(d, float(nibble(b + 4, i)), load_half(b + 2));
  if (type == FileType::q5_0) return d * float((nibble(b + 6, i) | fifth_bit(b + 2, i)) - 16);
  return std::fma(d, float(nibble(b + 8, i) | fifth_bit(b + 4, i)), load_half(b + 2));  // Q5_1
}

/// Weight i (0..255) of Q4_K or Q5_K: codes of sub-blocks 2 p and 2 p + 1 share 32 bytes, low and high halves.
float k_min_value(FileType type, Bytes b, int i) {
  int const sub = i / 32, within = i % 32;
  Bytes const nibbles = b + (type == FileType::q4_k ? 16 : 48);
  int const byte = nibbles[sub / 2 * 32 + within];
  int code = sub % 2 == 0 ? byte & 15 : byte >> 4;
  if (type == FileType::q5_k) code |= (b[16 + within] >> sub & 1) << 4;
  ScaleAndMin const s = k_scale_and_min(b + 4, sub);
  float const scale = load_half(b) * float(s.scale), min = load_half(b + 2) * float(s.min);
  return std::fma(scale, float(code), -min);
}

/// Weight i (0..255) of Q6_K: halves of 128; in each, quarters of 32 share nibbles and pairs.
float q6_k_value(Bytes b, int i) {
  int const half = i / 128, quarter = i % 128 / 32, within = i % 32;
  int const low = b[half * 64 + quarter % 2 * 32 + within] >> (quarter / 2 * 4) & 15;
  int const high = b[128 + half * 32 + within] >> (quarter * 2) & 3;
  int const scale = std::int8_t(b[192 + i / 16]);
  return load_half(b + 208) * float(scale) * float((low | high << 4) - 32);
}

float value(FileType type, Bytes block, int i) {
  switch (type) {
    case FileType::f32:
      return load_f32(block);
    case FileType::f16:
      return load_half(block);
    case FileType::bf16:
      return bf16_to_float(load_u16(block));
    case FileType::f8_e4m3:
      return f8_e4m3_to_float(*block);
    case FileType::q8_0:
    case FileType::q4_0:
    case FileType::q4_1:
    case FileType::q5_0:
    case FileType::q5_1:
    case FileType::iq4_nl:
      return small_block_value(type, block, i);
    case FileType::q4_k:
    case FileType::q5_k:
      return k_min_value(type, block, i);
    case FileType::q6_k:
      return q6_k_value(block, i);
  }
  ensure(false, "unknown file type");
  return 0;
}

}  // namespace

namespace reference {

void dequantize(FileType type, std::span<std::byte const> bytes, std::span<float> values) {
  ensure(bytes.size() == row_bytes(type, std::int64_t(values.size())), "dequantize: bytes do not match values");
  auto const* const first = reinterpret_cast<Bytes>(bytes.data());
  auto const weights = std::size_t(block_weights(type));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = value(type, first + i / weights * block_bytes(type), int(i % weights));
}

}  // namespace reference
}  // namespace windlass
