#include "kernels/attention.hpp"

namespace windlass {

std::size_t attention_workspace_bytes(int head_dim, int max_context, int threads) {
  std::size_t const spans = std::size_t(max_context) / attention_span + 1;
  std::size_t const partial_floats =
      std::size_t(attention_block_rows) * (std::size_t(head_dim + 15) / 16 * 16 + 17);  // o, l, m
  return std::size_t(attention_split_blocks(threads)) * spans * partial_floats * sizeof(float);
}

}  // namespace windlass
