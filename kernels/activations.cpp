#include "kernels/activations.hpp"

#include <cstddef>

namespace windlass {

ActivationFormat activation_format(WeightFormat weights, Precision precision, bool bf16_products) {
  if (precision == Precision::f32) return ActivationFormat::f32;
  if (is_quantized(weights)) return ActivationFormat::int8;
  return weights == WeightFormat::bf16 && bf16_products ? ActivationFormat::bf16 : ActivationFormat::f32;
}

Activations Activations::from_token(std::int64_t token) const {
  Activations rest = *this;
  bool const tiles = format == ActivationFormat::int8;
  std::int64_t const value_bytes = format == ActivationFormat::f32 ? 4 : format == ActivationFormat::bf16 ? 2 : 1;
  std::int64_t const value = tiles ? code_index(token, 0) : token * stride * value_bytes;
  rest.values = static_cast<std::byte*>(values) + value;
  if (!tiles) return rest;
  std::int64_t const factor = factor_index(token, 0);
  rest.scales += factor;
  rest.scaled_sums += factor;
  rest.sums += factor;
  return rest;
}

}  // namespace windlass
