/// Rotary position embedding, and the write of K and V into their pages.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kv_layout.hpp"
#include "kernels/queue.hpp"

namespace windlass {

/// For each row t at position p: optional per-head RMS norm of q and k (`q_norm`, `k_norm`), then rotation of the first
/// rotary_dim dimensions, halves (i, i + rotary_dim/2): a' = a cos - b sin, b' = b cos + a sin with cos_sin of the row.
/// q is rewritten in place; k and v are rounded to the page format (to nearest even) and written to their page.
/// Source: Su et al. 2021, arXiv:2104.09864.
struct RopeAndStore {
  float* qkv = nullptr;  ///< [rows, stride]: q [heads, d], k [kv_heads, d], v [kv_heads, d]
  std::int64_t stride = 0;
  int heads = 0;
  int rotary_dim = 0;              ///< even, <= head_dim
  float const* cos_sin = nullptr;  ///< [rows, rotary_dim]: cos of each pair, then sin of each pair
  float const* q_norm = nullptr;   ///< [d] or null
  float const* k_norm = nullptr;   ///< [d] or null
  float norm_eps = 0;
  KvView kv;  ///< where K and V go
  std::span<SequenceRows const> sequences;
};
namespace reference {
void rope_and_store(RopeAndStore const& op, Queue const& queue);
}

}  // namespace windlass
