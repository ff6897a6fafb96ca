#include "kernels/activations.hpp"

namespace windlass {

ActivationFormat activation_format(WeightFormat weights, Precision precision, bool bf16_products) {
  if (precision == Precision::f32) return ActivationFormat::f32;
  if (is_quantized(weights)) return ActivationFormat::int8;
  return weights == WeightFormat::bf16 && bf16_products ? ActivationFormat::bf16 : ActivationFormat::f32;
}

}  // namespace windlass
