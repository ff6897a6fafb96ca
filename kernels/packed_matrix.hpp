/// A weight matrix in the layout that every CPU backend reads.
///
/// Rows are cut into panels of 16 (the last one filled up with zero rows); within a panel, K runs in groups of 32 (the
/// last one filled up with zeros where the format has no blocks). Panels follow each other, and so do the groups of a
/// panel. One group of one panel, r = row in the panel (0..15), k = column in the group (0..31), all little endian:
///
/// | format | bytes | contents |
/// | --- | --- | --- |
/// | f32  | 2048 | f32 [k][r] |
/// | f16  | 1024 | IEEE half [k][r] |
/// | bf16 | 1024 | bfloat16 [k/2][r][k%2] |
/// | q8   | 512 + scales          | u8 code [k/4][r][k%4]; value = scale * (code - 128) |
/// | q8_min | 512 + scales + mins | the same; value = scale * code + min |
/// | q4   | 256 + scales          | nibbles: byte [k/8][r][k%4] holds code k in its low half where k/4 is even, in its
/// high half where odd; value = scale * (code - 8) | | q4_min | 256 + scales + mins | the same; value = scale * code +
/// min |
///
/// Scales [k / scale_group][r] and mins [k / scale_group][r] follow the codes, as f16 or f32 (`scale_type`);
/// scale_group is 32, or 16 (Q6_K; 8-bit formats only).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/slices.hpp"

namespace windlass {

constexpr int panel_rows = 16;

enum class WeightFormat : std::uint8_t { f32, f16, bf16, q8, q8_min, q4, q4_min };
enum class ScaleType : std::uint8_t { none, f16, f32 };

constexpr bool is_quantized(WeightFormat format) { return format >= WeightFormat::q8; }
constexpr bool has_min(WeightFormat format) { return format == WeightFormat::q8_min || format == WeightFormat::q4_min; }
char const* name(WeightFormat format);

struct PackedMatrix {
  WeightFormat format = WeightFormat::f32;
  ScaleType scale_type = ScaleType::none;  ///< none unless the format is quantised
  int scale_group = group_size;            ///< 32; 8-bit formats: or 16
  int rows = 0;                            ///< outputs, N
  int columns = 0;                         ///< inputs, K
  std::span<std::byte const> bytes;        ///< panels() * groups() * group_bytes(), aligned to 64
  std::shared_ptr<void const> owner;       ///< keeps `bytes` alive

  int panels() const { return (rows + panel_rows - 1) / panel_rows; }
  int groups() const { return (columns + group_size - 1) / group_size; }
  std::size_t group_bytes() const;  ///< of one group of one panel
  std::size_t size_bytes() const { return std::size_t(panels()) * std::size_t(groups()) * group_bytes(); }
  std::byte const* group(int panel, int group) const {
    return bytes.data() + (std::size_t(panel) * std::size_t(groups()) + std::size_t(group)) * group_bytes();
  }
};

/// The value of one weight, exactly as the format says, in float32 (scale * code + min in one fma). Slow; for tests and
/// `reference`.
float weight_at(PackedMatrix const& matrix, int row, int column);

}  // namespace windlass
