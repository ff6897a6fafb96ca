/// One group (32 columns) of one panel (16 rows) of packed weights, taken apart.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/float_formats.hpp"
#include "kernels/kokkos/clones.hpp"
#include "kernels/packed_matrix.hpp"

namespace windlass::kokkos {

/// Codes minus their zero, and the scales and minimums of each scale group.
struct QuantizedGroup {
  std::int32_t codes[group_size][panel_rows];
  float scales[2][panel_rows];  ///< [group_size / scale_group] are used
  float mins[2][panel_rows];    ///< 0 where the format has none
};

WINDLASS_INLINED void read_floats(ScaleType type, std::byte const* at, float (&values)[panel_rows]) {
  if (type == ScaleType::f32) {
    std::memcpy(values, at, sizeof values);
    return;
  }
  std::uint16_t halves[panel_rows];
  std::memcpy(halves, at, sizeof halves);
  for (int r = 0; r < panel_rows; ++r) values[r] = half_to_float(halves[r]);
}

WINDLASS_INLINED void read_codes(WeightFormat format, std::byte const* group,
                                 std::int32_t (&codes)[group_size][panel_rows]) {
  bool const is_byte = format == WeightFormat::q8 || format == WeightFormat::q8_min;
  int const zero = has_min(format) ? 0 : is_byte ? 128 : 8;
  auto const* bytes = reinterpret_cast<unsigned char const*>(group);
  for (int k = 0; k < group_size; ++k)
    for (int r = 0; r < panel_rows; ++r) {
      int const byte = bytes[((is_byte ? k / 4 : k / 8) * panel_rows + r) * 4 + k % 4];
      codes[k][r] = (is_byte ? byte : k / 4 % 2 == 0 ? byte & 15 : byte >> 4) - zero;
    }
}

WINDLASS_INLINED void read_group(PackedMatrix const& m, std::byte const* group, QuantizedGroup& out) {
  bool const is_byte = m.format == WeightFormat::q8 || m.format == WeightFormat::q8_min;
  int const count = group_size / m.scale_group;
  std::size_t const bytes_of_scales = panel_rows * (m.scale_type == ScaleType::f16 ? 2 : 4);
  std::byte const* at = group + (is_byte ? 512 : 256);
  read_codes(m.format, group, out.codes);
  for (int i = 0; i < count; ++i, at += bytes_of_scales) read_floats(m.scale_type, at, out.scales[i]);
  std::memset(out.mins, 0, sizeof out.mins);
  if (!has_min(m.format)) return;
  for (int i = 0; i < count; ++i, at += bytes_of_scales) read_floats(m.scale_type, at, out.mins[i]);
}

/// The weights of the group in float32, exactly as the format says.
WINDLASS_INLINED void widen_group(PackedMatrix const& m, std::byte const* group, float (&w)[group_size][panel_rows]) {
  if (m.format == WeightFormat::f32) {
    std::memcpy(w, group, sizeof w);
  } else if (m.format == WeightFormat::f16) {
    std::uint16_t halves[group_size][panel_rows];
    std::memcpy(halves, group, sizeof halves);
    for (int k = 0; k < group_size; ++k)
      for (int r = 0; r < panel_rows; ++r) w[k][r] = half_to_float(halves[k][r]);
  } else if (m.format == WeightFormat::bf16) {
    std::uint16_t pairs[group_size / 2][panel_rows][2];
    std::memcpy(pairs, group, sizeof pairs);
    for (int k = 0; k < group_size; ++k)
      for (int r = 0; r < panel_rows; ++r) w[k][r] = bf16_to_float(pairs[k / 2][r][k % 2]);
  } else {
    QuantizedGroup parts;
    read_group(m, group, parts);
    for (int k = 0; k < group_size; ++k) {
      int const i = k / m.scale_group;
      for (int r = 0; r < panel_rows; ++r)
        w[k][r] = has_min(m.format) ? std::fma(parts.scales[i][r], float(parts.codes[k][r]), parts.mins[i][r])
                                    : parts.scales[i][r] * float(parts.codes[k][r]);
    }
  }
}

}  // namespace windlass::kokkos
