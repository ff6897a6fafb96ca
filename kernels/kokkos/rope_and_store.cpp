// Rotation of q and k and the write of k and v into their pages: one call of the functor does one row.
#include <cmath>

#include "kernels/kokkos/backend.hpp"
#include "kernels/kokkos/clones.hpp"
#include "kernels/kokkos/parallel.hpp"
#include "kernels/kv_tile.hpp"

namespace windlass::kokkos {
namespace {

WINDLASS_CLONED void norm_and_rotate(RopeAndStore const& op, float* x, float const* norm, float const* cos_sin) {
  int const head_dim = op.kv.shape.head_dim, half = op.rotary_dim / 2;
  if (norm) {
    float squares = 0;
    for (int i = 0; i < head_dim; ++i) squares = std::fma(x[i], x[i], squares);
    float const scale = 1 / std::sqrt(squares / float(head_dim) + op.norm_eps);
    for (int i = 0; i < head_dim; ++i) x[i] = x[i] * scale * norm[i];
  }
  for (int i = 0; i < half; ++i) {
    float const a = x[i], b = x[i + half], cosine = cos_sin[i], sine = cos_sin[half + i];
    x[i] = std::fma(a, cosine, -(b * sine));
    x[i + half] = std::fma(b, cosine, a * sine);
  }
}

void store_head(KvView const& kv, std::byte* page, int head, float const* k, float const* v, int position) {
  KvShape const& shape = kv.shape;
  std::byte* k_tile = page + shape.k_offset(kv.layer, head);
  std::byte* v_tile = page + shape.v_offset(kv.layer, head);
  for (int i = 0; i < shape.head_dim; ++i) {
    store_element(k_tile, shape.format, k_element(shape, position, i), k[i]);
    store_element(v_tile, shape.format, v_element(shape, position, i), v[i]);
  }
}

void do_row(RopeAndStore const& op, SequenceRows const& sequence, int row_in_sequence) {
  KvShape const& shape = op.kv.shape;
  std::int64_t const row = sequence.first_row + row_in_sequence;
  int const position = sequence.first_position + row_in_sequence;
  float* q = op.qkv + row * op.stride;                      // [heads, head_dim]
  float* k = q + op.heads * shape.head_dim;                 // [kv_heads, head_dim]
  float* v = k + shape.kv_heads * shape.head_dim;           // [kv_heads, head_dim]
  float const* cos_sin = op.cos_sin + row * op.rotary_dim;  // [rotary_dim]
  std::byte* page = op.kv.base + sequence.pages[position / block_tokens] * shape.page_bytes();
  for (int head = 0; head < op.heads; ++head) norm_and_rotate(op, q + head * shape.head_dim, op.q_norm, cos_sin);
  for (int head = 0; head < shape.kv_heads; ++head) {
    norm_and_rotate(op, k + head * shape.head_dim, op.k_norm, cos_sin);
    store_head(op.kv, page, head, k + head * shape.head_dim, v + head * shape.head_dim, position % block_tokens);
  }
}

}  // namespace

void rope_and_store(RopeAndStore const& op, Queue const& queue) {
  for (SequenceRows const& sequence : op.sequences)
    for_each(queue, "windlass::rope_and_store::pages", sequence.rows,
             [&](std::int64_t row) { do_row(op, sequence, int(row)); });
}

}  // namespace windlass::kokkos
