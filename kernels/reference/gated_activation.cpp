#include "kernels/gated_activation.hpp"

#include <cmath>
#include <numbers>

namespace windlass {
namespace {

double gate(GateFunction function, double z) {
  switch (function) {
    case GateFunction::silu:
      return z / (1 + std::exp(-z));
    case GateFunction::gelu_tanh:
      return 0.5 * z * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (z + 0.044715 * z * z * z)));
  }
  return 0;
}

}  // namespace

void reference::gated_activation(GatedActivation const& op, Queue const&) {
  for (int token = 0; token < op.tokens; ++token) {
    float const* x = op.x + token * op.x_stride;  // [up_offset + width]
    float* y = op.y + token * op.y_stride;        // [width]
    for (int i = 0; i < op.width; ++i) y[i] = float(gate(op.gate, double(x[i])) * double(x[op.up_offset + i]));
  }
}

}  // namespace windlass
