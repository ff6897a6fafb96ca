/// Rows of the embedding table.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/packed_matrix.hpp"
#include "kernels/queue.hpp"
#include "src/core/ids.hpp"

namespace windlass {

/// y[t, :] = scale * table[tokens[t], :]; exact up to the product with `scale` (1 for most models, sqrt(hidden) for
/// Gemma).
struct Embedding {
  float* y = nullptr;  ///< [tokens, y_stride]
  std::int64_t y_stride = 0;
  PackedMatrix const* table = nullptr;  ///< [vocab, hidden]
  std::span<TokenId const> tokens;      ///< each below vocab; empty is legal
  float scale = 1;
};
namespace reference {
void embedding(Embedding const& op, Queue const& queue);
}

}  // namespace windlass
