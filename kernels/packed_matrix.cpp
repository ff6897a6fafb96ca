#include "kernels/packed_matrix.hpp"

#include <cmath>
#include <cstring>

#include "kernels/float_formats.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

std::size_t code_bytes(WeightFormat format) {
  constexpr std::size_t weights = std::size_t(group_size) * panel_rows;
  switch (format) {
    case WeightFormat::f32:
      return weights * 4;
    case WeightFormat::f16:
    case WeightFormat::bf16:
      return weights * 2;
    case WeightFormat::q8:
    case WeightFormat::q8_min:
      return weights;
    case WeightFormat::q4:
    case WeightFormat::q4_min:
      return weights / 2;
  }
  ensure(false, "unknown weight format");
  return 0;
}

template <class T>
T load(std::byte const* at, std::size_t index) {
  T value;
  std::memcpy(&value, at + index * sizeof(T), sizeof(T));
  return value;
}

float load_scale(PackedMatrix const& m, std::byte const* scales, std::size_t index) {
  return m.scale_type == ScaleType::f16 ? half_to_float(load<std::uint16_t>(scales, index))
                                        : load<float>(scales, index);
}

int code_at(PackedMatrix const& m, std::byte const* group, int r, int k) {
  if (m.format == WeightFormat::q8 || m.format == WeightFormat::q8_min)
    return int(load<std::uint8_t>(group, std::size_t((k / 4 * panel_rows + r) * 4 + k % 4)));
  int const byte = int(load<std::uint8_t>(group, std::size_t((k / 8 * panel_rows + r) * 4 + k % 4)));
  return k / 4 % 2 == 0 ? byte & 15 : byte >> 4;
}

}  // namespace

char const* name(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return "f32";
    case WeightFormat::f16:
      return "f16";
    case WeightFormat::bf16:
      return "bf16";
    case WeightFormat::q8:
      return "q8";
    case WeightFormat::q8_min:
      return "q8_min";
    case WeightFormat::q4:
      return "q4";
    case WeightFormat::q4_min:
      return "q4_min";
  }
  return "unknown";
}

std::size_t PackedMatrix::group_bytes() const {
  std::size_t const per_scale = scale_type == ScaleType::none ? 0 : scale_type == ScaleType::f16 ? 2 : 4;
  std::size_t const arrays = has_min(format) ? 2 : 1;
  return code_bytes(format) + arrays * per_scale * panel_rows * std::size_t(group_size / scale_group);
}

float weight_at(PackedMatrix const& m, int row, int column) {
  int const r = row % panel_rows, k = column % group_size;
  std::byte const* group = m.group(row / panel_rows, column / group_size);
  std::size_t const at = std::size_t(k * panel_rows + r);
  if (m.format == WeightFormat::f32) return load<float>(group, at);
  if (m.format == WeightFormat::f16) return half_to_float(load<std::uint16_t>(group, at));
  if (m.format == WeightFormat::bf16)
    return bf16_to_float(load<std::uint16_t>(group, std::size_t((k / 2 * panel_rows + r) * 2 + k % 2)));
  std::byte const* scales = group + code_bytes(m.format);
  std::size_t const scale_index = std::size_t(k / m.scale_group * panel_rows + r);
  float const scale = load_scale(m, scales, scale_index);
  int const code = code_at(m, group, r, k);
  if (!has_min(m.format)) return scale * float(code - (m.format == WeightFormat::q8 ? 128 : 8));
  std::size_t const scales_before_mins = std::size_t(group_size / m.scale_group) * panel_rows;
  return std::fma(scale, float(code), load_scale(m, scales, scales_before_mins + scale_index));
}

}  // namespace windlass
