/// Log-softmax over the vocabulary.
#pragma once

#include <cstdint>

#include "kernels/queue.hpp"

namespace windlass {

/// normalizer[t] = log(sum over v of exp(x[t, v])) computed from the row's maximum, so that log p(v) = x[t, v] -
/// normalizer[t]. Soft cap first where cap > 0: x = cap * tanh(x / cap), in place.
struct LogNormalizer {
  float* normalizer = nullptr;  ///< [rows]
  float* x = nullptr;           ///< [rows, stride], logits; changed only by a soft cap
  std::int64_t stride = 0;
  int rows = 0;  ///< 0 is legal
  int vocab = 0;
  float soft_cap = 0;
};
namespace reference {
void log_normalizer(LogNormalizer const& op, Queue const& queue);
}

}  // namespace windlass
