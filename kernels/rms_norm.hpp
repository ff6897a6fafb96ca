/// Root-mean-square norm.
#pragma once

#include <cstdint>

#include "kernels/accumulate.hpp"
#include "kernels/queue.hpp"

namespace windlass {

/// y[t, h] (+)= x[t, h] * weight[h] / sqrt(mean over h of x[t, h]^2 + eps).
/// Source: Zhang & Sennrich 2019, arXiv:1910.07467; eps as in Llama.
struct RmsNorm {
  float* y = nullptr;             ///< [tokens, y_stride]; may be x
  float const* x = nullptr;       ///< [tokens, x_stride]
  float const* weight = nullptr;  ///< [hidden]
  std::int64_t y_stride = 0, x_stride = 0;
  int tokens = 0;  ///< 0 is legal
  int hidden = 0;
  float eps = 0;                              ///< >= 0
  Accumulate accumulate = Accumulate::store;  ///< add_to_y: the residual of a post-norm
};
/// Sequential, sums in double. Other backends: sums in float, relative error <= 1e-5.
namespace reference {
void rms_norm(RmsNorm const& op, Queue const& queue);
}

}  // namespace windlass
