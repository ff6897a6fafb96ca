#include "kernels/matmul.hpp"

#include "kernels/float_formats.hpp"

namespace windlass {
namespace {

/// The value that x[token, k] stands for.
double activation_at(Activations const& x, int token, int k) {
  std::int64_t const at = token * x.stride + k;
  switch (x.format) {
    case ActivationFormat::f32:
      return static_cast<float const*>(x.values)[at];
    case ActivationFormat::bf16:
      return bf16_to_float(static_cast<std::uint16_t const*>(x.values)[at]);
    case ActivationFormat::int8:
      return double(x.scales[x.factor_index(token, k / group_size)]) *
             double(static_cast<std::int8_t const*>(x.values)[x.code_index(token, k)]);
  }
  return 0;
}

}  // namespace

void reference::matmul(MatMul const& op, Queue const&) {
  for (int token = 0; token < op.tokens; ++token)
    for (int n = 0; n < op.weight->rows; ++n) {
      double sum = op.bias ? op.bias[n] : 0;
      for (int k = 0; k < op.weight->columns; ++k)
        sum += activation_at(op.x, token, k) * double(weight_at(*op.weight, n, k));
      float& y = op.y[token * op.y_stride + n];
      y = float(op.accumulate == Accumulate::add_to_y ? double(y) + sum : sum);
    }
}

}  // namespace windlass
