/// A packed matrix (kernels/packed_matrix.hpp) as kernels see it.
#pragma once

#include "kernels/cuda/math.hpp"
#include "kernels/packed_matrix.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {

struct WeightView {
  std::byte const* bytes = nullptr;
  WeightFormat format = WeightFormat::f32;
  ScaleType scale_type = ScaleType::none;
  int scale_group = group_size;
  int rows = 0, groups = 0, panels = 0;
  unsigned group_bytes = 0, code_bytes = 0;

  explicit WeightView(PackedMatrix const& m)
      : bytes(m.bytes.data()),
        format(m.format),
        scale_type(m.scale_type),
        scale_group(m.scale_group),
        rows(m.rows),
        groups(m.groups()),
        panels(m.panels()),
        group_bytes(unsigned(m.group_bytes())) {
    unsigned const scale_bytes = scale_type == ScaleType::none ? 0 : scale_type == ScaleType::f16 ? 2 : 4;
    unsigned const arrays = has_min(format) ? 2 : 1;
    code_bytes = group_bytes - arrays * scale_bytes * panel_rows * unsigned(group_size / scale_group);
  }

  WINDLASS_DEVICE std::byte const* group(int panel, int group) const {
    return bytes + (std::size_t(panel) * std::size_t(groups) + std::size_t(group)) * group_bytes;
  }
  /// Scale `part` (k / scale_group) of row r of a group.
  WINDLASS_DEVICE float scale(std::byte const* group, int part, int r) const {
    return factor(group, part * panel_rows + r);
  }
  WINDLASS_DEVICE float min(std::byte const* group, int part, int r) const {
    return factor(group, (group_size / scale_group + part) * panel_rows + r);
  }
  WINDLASS_DEVICE bool has_mins() const { return format == WeightFormat::q8_min || format == WeightFormat::q4_min; }

  /// Weight (r, k) of a group in float32, exactly as the format says.
  WINDLASS_DEVICE float value(std::byte const* group, int r, int k) const {
    auto const* const halves = reinterpret_cast<std::uint16_t const*>(group);
    auto const* const codes = reinterpret_cast<std::uint8_t const*>(group);
    int code = 0, zero = 128;
    switch (format) {
      case WeightFormat::f32:
        return reinterpret_cast<float const*>(group)[k * panel_rows + r];
      case WeightFormat::f16:
        return half_value(halves[k * panel_rows + r]);
      case WeightFormat::bf16:
        return bf16_to_float(halves[(k / 2 * panel_rows + r) * 2 + k % 2]);
      case WeightFormat::q8:
      case WeightFormat::q8_min:
        code = codes[(k / 4 * panel_rows + r) * 4 + k % 4];
        break;
      case WeightFormat::q4:
      case WeightFormat::q4_min:
        code = codes[(k / 8 * panel_rows + r) * 4 + k % 4] >> (k / 4 % 2 * 4) & 15;
        zero = 8;
        break;
    }
    float const of_group = scale(group, k / scale_group, r);
    return has_mins() ? fmaf(of_group, float(code), min(group, k / scale_group, r)) : of_group * float(code - zero);
  }

 private:
  WINDLASS_DEVICE float factor(std::byte const* group, int i) const {
    std::byte const* const factors = group + code_bytes;
    return scale_type == ScaleType::f16 ? half_value(reinterpret_cast<std::uint16_t const*>(factors)[i])
                                        : reinterpret_cast<float const*>(factors)[i];
  }
};

}  // namespace windlass::WINDLASS_CUDA_SPACE
