#include "kernels/pack_group.hpp"

#include <cstring>

#include "kernels/float_formats.hpp"
#include "kernels/reference/dequantize.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

using Bytes = std::uint8_t const*;

float half_at(Bytes at) { return half_to_float(std::uint16_t(at[0] | at[1] << 8)); }

QuantizedGroup group_with(float scale, float min, int zero) {
  return {.code = {}, .scale = {scale, scale}, .min = {min, min}, .zero = zero};
}

void take_nibbles(QuantizedGroup& group, Bytes nibbles) {
  for (std::size_t i = 0; i < 16; ++i) {
    group.code[i] = nibbles[i] & 15;
    group.code[i + 16] = nibbles[i] >> 4;
  }
}

void add_fifth_bits(QuantizedGroup& group, Bytes bits) {
  for (std::size_t i = 0; i < 32; ++i) group.code[i] |= std::uint8_t((bits[i / 8] >> (i % 8) & 1) << 4);
}

QuantizedGroup decode_q8_0(Bytes b) {
  QuantizedGroup group = group_with(half_at(b), 0, 128);
  for (std::size_t i = 0; i < 32; ++i) group.code[i] = b[2 + i] ^ 0x80;
  return group;
}

QuantizedGroup decode_q4_0(Bytes b) {
  QuantizedGroup group = group_with(half_at(b), 0, 8);
  take_nibbles(group, b + 2);
  return group;
}

QuantizedGroup decode_q4_1(Bytes b) {
  QuantizedGroup group = group_with(half_at(b), half_at(b + 2), 0);
  take_nibbles(group, b + 4);
  return group;
}

QuantizedGroup decode_q5_0(Bytes b) {
  QuantizedGroup group = group_with(half_at(b), 0, 128);
  take_nibbles(group, b + 6);
  add_fifth_bits(group, b + 2);
  for (std::uint8_t& code : group.code) code = std::uint8_t(code + 112);  // zero 16 becomes 128
  return group;
}

QuantizedGroup decode_q5_1(Bytes b) {
  QuantizedGroup group = group_with(half_at(b), half_at(b + 2), 0);
  take_nibbles(group, b + 8);
  add_fifth_bits(group, b + 4);
  return group;
}

QuantizedGroup decode_iq4_nl(Bytes b) {
  QuantizedGroup group = group_with(half_at(b), 0, 128);
  take_nibbles(group, b + 2);
  for (std::uint8_t& code : group.code) code = std::uint8_t(iq4_nl_values[code] + 128);
  return group;
}

/// Sub-block `sub` of 32 weights of a Q4_K or Q5_K block.
QuantizedGroup decode_k_min(FileType type, Bytes b, int sub) {
  ScaleAndMin const s = k_scale_and_min(b + 4, sub);
  QuantizedGroup group = group_with(half_at(b) * float(s.scale), -(half_at(b + 2) * float(s.min)), 0);
  Bytes const nibbles = b + (type == FileType::q4_k ? 16 : 48) + sub / 2 * 32;
  int const shift = sub % 2 * 4;
  for (std::size_t i = 0; i < 32; ++i) group.code[i] = nibbles[i] >> shift & 15;
  if (type == FileType::q5_k)
    for (std::size_t i = 0; i < 32; ++i) group.code[i] |= std::uint8_t((b[16 + i] >> sub & 1) << 4);
  return group;
}

/// Quarter `sub` % 4 of half `sub` / 4 of a Q6_K block.
QuantizedGroup decode_q6_k(Bytes b, int sub) {
  float const d = half_at(b + 208);
  Bytes const scales = b + 192 + sub * 2;
  QuantizedGroup group = group_with(0, 0, 128);
  group.scale = {d * float(std::int8_t(scales[0])), d * float(std::int8_t(scales[1]))};
  Bytes const low = b + sub / 4 * 64 + sub % 2 * 32, high = b + 128 + sub / 4 * 32;
  int const low_shift = sub % 4 / 2 * 4, high_shift = sub % 4 * 2;
  for (std::size_t i = 0; i < 32; ++i)
    group.code[i] = std::uint8_t(((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) + 96);
  return group;
}

bool has_four_bits(WeightFormat format) { return format == WeightFormat::q4 || format == WeightFormat::q4_min; }

/// The same values with other codes: without a zero (but minimums), or with the zero of 8-bit codes.
void adapt(QuantizedGroup& group, WeightFormat format) {
  if (group.zero == 0) return;
  if (has_min(format)) {
    for (std::size_t i = 0; i < 2; ++i) group.min[i] = -float(group.zero) * group.scale[i];
  } else if (group.zero == 8 && !has_four_bits(format)) {
    for (std::uint8_t& code : group.code) code = std::uint8_t(code + 120);
  }
}

void store_codes(PackedForm const& form, std::byte* to, int r, QuantizedGroup const& values) {
  for (int quad = 0; quad < group_size / 4; ++quad) {
    std::uint8_t const* codes = values.code.data() + quad * 4;
    if (!has_four_bits(form.format)) {
      std::memcpy(to + (quad * panel_rows + r) * 4, codes, 4);
    } else if (quad % 2 == 0) {
      std::uint8_t bytes[4];
      for (int i = 0; i < 4; ++i) bytes[i] = std::uint8_t(codes[i] | codes[i + 4] << 4);
      std::memcpy(to + (quad / 2 * panel_rows + r) * 4, bytes, 4);
    }
  }
}

/// values[half] into [k / scale_group][r]; returns where the array ends.
std::byte* store_scales(PackedForm const& form, std::byte* to, int r, std::array<float, 2> const& values) {
  int const count = group_size / form.scale_group;
  std::size_t const size = form.scale_type == ScaleType::f16 ? 2 : 4;
  for (int i = 0; i < count; ++i) {
    std::byte* const at = to + std::size_t(i * panel_rows + r) * size;
    std::uint16_t const half = float_to_half(values[std::size_t(i)]);
    if (form.scale_type == ScaleType::f16)
      std::memcpy(at, &half, 2);
    else
      std::memcpy(at, &values[std::size_t(i)], 4);
  }
  return to + std::size_t(count) * panel_rows * size;
}

}  // namespace

QuantizedGroup decode_group(FileType type, std::byte const* row, std::int64_t group) {
  std::int64_t const groups_per_block = block_weights(type) / group_size;
  ensure(groups_per_block > 0, "decode_group: not a quantised type");
  Bytes const block = reinterpret_cast<Bytes>(row) + std::size_t(group / groups_per_block) * block_bytes(type);
  int const sub = int(group % groups_per_block);
  switch (type) {
    case FileType::q8_0:
      return decode_q8_0(block);
    case FileType::q4_0:
      return decode_q4_0(block);
    case FileType::q4_1:
      return decode_q4_1(block);
    case FileType::q5_0:
      return decode_q5_0(block);
    case FileType::q5_1:
      return decode_q5_1(block);
    case FileType::iq4_nl:
      return decode_iq4_nl(block);
    case FileType::q4_k:
    case FileType::q5_k:
      return decode_k_min(type, block, sub);
    case FileType::q6_k:
      return decode_q6_k(block, sub);
    case FileType::f32:
    case FileType::f16:
    case FileType::bf16:
    case FileType::f8_e4m3:
      break;
  }
  ensure(false, "decode_group: not a quantised type");
  return {};
}

void store_group(PackedForm const& form, std::byte* to, int r, QuantizedGroup const& values) {
  QuantizedGroup adapted = values;
  adapt(adapted, form.format);
  store_codes(form, to, r, adapted);
  std::byte* const scales = to + std::size_t(group_size * panel_rows) / (has_four_bits(form.format) ? 2 : 1);
  std::byte* const mins = store_scales(form, scales, r, adapted.scale);
  if (has_min(form.format)) store_scales(form, mins, r, adapted.min);
}

}  // namespace windlass
