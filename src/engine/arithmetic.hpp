/// The arithmetic id: what must agree for equal bits (design: canonical order of sums).
#pragma once

#include <string>

#include "kernels/operations.hpp"

namespace windlass {

/// Version of the orders of sums; a change of any order in kernels/ or canonical_slices raises it.
constexpr int canonical_order_version = 1;

/// Such as "avx512_bf16/fast/v1".
inline std::string arithmetic_id(Operations const& operations, Precision precision) {
  std::string const bits = *operations.arithmetic ? operations.arithmetic : operations.name;
  return bits + (precision == Precision::f32 ? "/f32/v" : "/fast/v") + std::to_string(canonical_order_version);
}

}  // namespace windlass
