#include "kernels/attention.hpp"

namespace windlass {

std::size_t attention_workspace_bytes(int rows, int heads, int head_dim, int max_context, int threads) {
  // One (o, m, l) per row, head and span, each row of floats filled up to a cache line, and a margin per thread.
  std::size_t const spans = std::size_t(max_context + attention_span - 1) / attention_span + 1;
  std::size_t const partial = (std::size_t(head_dim) + 2 + 15) / 16 * 16 * sizeof(float);
  return std::size_t(rows) * std::size_t(heads) * spans * partial + std::size_t(threads) * 4096;
}

}  // namespace windlass
