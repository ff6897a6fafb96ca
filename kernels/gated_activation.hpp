/// The activation of a gated feed-forward network.
#pragma once

#include <cstdint>

#include "kernels/queue.hpp"

namespace windlass {

enum class GateFunction : std::uint8_t { silu, gelu_tanh };

/// y[t, i] = gate(x[t, i]) * x[t, up_offset + i]; silu(z) = z / (1 + exp(-z)); gelu_tanh(z) =
/// 0.5 z (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))).
struct GatedActivation {
  float* y = nullptr;        ///< [tokens, y_stride]; may be x
  float const* x = nullptr;  ///< [tokens, x_stride]: gate [0, width), up [up_offset, up_offset + width)
  std::int64_t y_stride = 0, x_stride = 0;
  std::int64_t up_offset = 0;  ///< width filled up to a multiple of 16
  int tokens = 0;              ///< 0 is legal
  int width = 0;
  GateFunction gate = GateFunction::silu;
};
namespace reference {
void gated_activation(GatedActivation const& op, Queue const& queue);
}

}  // namespace windlass
