/// Causal attention over paged KV: prompt chunks and decode tokens in one contract.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/kv_layout.hpp"
#include "kernels/queue.hpp"

namespace windlass {

constexpr int tiles_per_span = 16;  ///< 1,024 positions
constexpr int attention_span = tiles_per_span * block_tokens;

/// out[t, h, :] = sum over j of softmax_j(s_j) v_j with s_j = scale * q[t, h] . k_j, soft-capped (cap * tanh(s / cap))
/// where cap > 0, over positions max(0, p - window + 1) <= j <= p, p the row's position; head h reads KV head h /
/// (heads / kv_heads). K and V of the rows themselves are already in the pages.
///
/// Order of sums (design: canonical order): each tile of 64 absolute positions yields (o, m, l) from its own maximum;
/// tiles of a span of 1,024 are merged in ascending order into an empty (o, m, l); spans are merged in the tree of
/// kernels/slices.hpp over the absolute span index from 0 (a fully masked tile or span is an exact no-op). bf16 pages:
/// q and the tile's probabilities are rounded to bf16 (q after its product with scale * log2 e, or with scale where
/// there is a soft cap; the sum l of a tile takes the probabilities before rounding), sums in float32. Differs from
/// `reference` by 1e-5 of the largest |v| seen (root mean square 1e-6); bf16 pages by 2^-8 of it, where a probability
/// rounds the other way (root mean square 2^-13).
/// Grouped-query attention: Ainslie et al. 2023, arXiv:2305.13245; tiles: Milakov & Gimelshein 2018, arXiv:1805.02867.
struct PagedAttention {
  float* out = nullptr;  ///< [rows, out_stride]: [heads, d]
  std::int64_t out_stride = 0;
  float const* q = nullptr;  ///< [rows, q_stride]: [heads, d]
  std::int64_t q_stride = 0;
  KvView kv;
  std::span<SequenceRows const> sequences;  ///< empty is legal
  int heads = 0;                            ///< multiple of kv.shape.kv_heads
  int window = 0;                           ///< 0: the whole sequence
  float scale = 0;
  float soft_cap = 0;              ///< 0: none
  std::span<std::byte> workspace;  ///< >= attention_workspace_bytes(), aligned to 64
};
namespace reference {
void paged_attention(PagedAttention const& op, Queue const& queue);
}

constexpr int attention_block_rows = 48;  ///< rows x heads of one KV head that a CPU task takes
/// Fewer blocks than this are split along the sequence.
constexpr int attention_split_blocks(int threads) { return 2 * threads; }

/// Upper bound of what any CPU backend needs for sequences of at most `max_context` positions.
std::size_t attention_workspace_bytes(int head_dim, int max_context, int threads);

}  // namespace windlass
