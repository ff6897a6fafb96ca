// Paged attention: one call of the functor computes one (row, head). Scores of a tile have positions as lanes, values
// have dimensions as lanes.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/attention.hpp"
#include "kernels/kokkos/backend.hpp"
#include "kernels/kokkos/clones.hpp"
#include "kernels/kokkos/exponential.hpp"
#include "kernels/kokkos/parallel.hpp"
#include "kernels/kv_tile.hpp"
#include "kernels/slices.hpp"
#include "src/core/error.hpp"

namespace windlass::kokkos {
namespace {

constexpr int max_head_dim = 512;
constexpr int max_span_levels = 16;  ///< partial results alive in the tree of spans: 2^15 spans are 33M positions

/// o = sum of p_j v_j, l = sum of p_j, p_j = exp(s_j - m); empty: m = -infinity.
struct Partial {
  float o[max_head_dim];
  float m, l;

  void clear(int head_dim) {
    std::fill_n(o, head_dim, 0.0f);
    m = -INFINITY;
    l = 0;
  }
};

struct Query {
  float q[max_head_dim];  ///< scaled, rounded to the page format
  int head_dim, kv_head;
  int first_position, last_position;
};

WINDLASS_INLINED float element(std::uint16_t bits) { return bf16_to_float(bits); }
WINDLASS_INLINED float element(float value) { return value; }

/// scores[p] = q . k_p, in ascending dimension.
template <class Value>
WINDLASS_INLINED void score(Query const& query, Value const* k, float (&scores)[block_tokens]) {
  constexpr int step = sizeof(Value) == 2 ? 2 : 1;  // bf16: dimensions in pairs
  std::fill_n(scores, block_tokens, 0.0f);
  for (int i = 0; i < query.head_dim; i += step)
    for (int j = 0; j < step; ++j)
      for (int p = 0; p < block_tokens; ++p)
        scores[p] = std::fma(query.q[i + j], element(k[(i * block_tokens) + p * step + j]), scores[p]);
}

/// o = sum over positions of weights[p] * v_p, in ascending position.
template <class Value>
WINDLASS_INLINED void add_values(float const (&weights)[block_tokens], Value const* v, int head_dim, float* o) {
  constexpr int step = sizeof(Value) == 2 ? 2 : 1;  // bf16: positions in pairs
  std::fill_n(o, head_dim, 0.0f);
  for (int p = 0; p < block_tokens; p += step)
    for (int j = 0; j < step; ++j)
      for (int i = 0; i < head_dim; ++i) o[i] = std::fma(weights[p + j], element(v[p * head_dim + i * step + j]), o[i]);
}

/// Probabilities relative to the tile's own maximum, 0 outside of [begin, end); sets m and l.
WINDLASS_INLINED void soften(PagedAttention const& op, float (&scores)[block_tokens], int begin, int end,
                             Partial& tile) {
  for (float& s : scores)
    s = op.soft_cap > 0 ? op.soft_cap * hyperbolic_tangent(s / op.soft_cap) : s * std::numbers::ln2_v<float>;
  tile.m = *std::max_element(scores + begin, scores + end);
  tile.l = 0;
  for (int p = 0; p < block_tokens; ++p) {
    scores[p] = p >= begin && p < end ? exponential(scores[p] - tile.m) : 0;
    tile.l += scores[p];
    scores[p] = round_to(op.kv.shape.format, scores[p]);
  }
}

WINDLASS_CLONED void attend_tile(PagedAttention const& op, Query const& query, int block, std::byte const* page,
                                 Partial& tile) {
  KvShape const& shape = op.kv.shape;
  std::byte const* k = page + shape.k_offset(op.kv.layer, query.kv_head);
  std::byte const* v = page + shape.v_offset(op.kv.layer, query.kv_head);
  int const begin = std::max(query.first_position - block * block_tokens, 0);
  int const end = std::min(query.last_position + 1 - block * block_tokens, block_tokens);
  float scores[block_tokens];
  if (shape.format == KvFormat::bf16) {
    score(query, reinterpret_cast<std::uint16_t const*>(k), scores);
    soften(op, scores, begin, end, tile);
    add_values(scores, reinterpret_cast<std::uint16_t const*>(v), query.head_dim, tile.o);
  } else {
    score(query, reinterpret_cast<float const*>(k), scores);
    soften(op, scores, begin, end, tile);
    add_values(scores, reinterpret_cast<float const*>(v), query.head_dim, tile.o);
  }
}

/// An empty `from` changes nothing, an empty `into` becomes `from`, both exactly.
WINDLASS_CLONED void merge(Partial& into, Partial const& from, int head_dim) {
  if (from.m == -INFINITY) return;
  float const m = std::max(into.m, from.m);
  float const keep = exponential(into.m - m), take = exponential(from.m - m);
  for (int i = 0; i < head_dim; ++i) into.o[i] = std::fma(from.o[i], take, into.o[i] * keep);
  into.l = std::fma(from.l, take, into.l * keep);
  into.m = m;
}

void attend_span(PagedAttention const& op, Query const& query, SequenceRows const& sequence, int span, Partial& sum) {
  sum.clear(query.head_dim);
  int const first = std::max(query.first_position / block_tokens, span * tiles_per_span);
  int const end = std::min(query.last_position / block_tokens + 1, (span + 1) * tiles_per_span);
  for (int block = first; block < end; ++block) {
    Partial tile;
    attend_tile(op, query, block, op.kv.base + sequence.pages[block] * op.kv.shape.page_bytes(), tile);
    merge(sum, tile, query.head_dim);
  }
}

Query query_of(PagedAttention const& op, float const* q, int position, int head) {
  KvShape const& shape = op.kv.shape;
  Query query;
  query.head_dim = shape.head_dim;
  query.kv_head = head / (op.heads / shape.kv_heads);
  query.first_position = op.window > 0 ? std::max(0, position - op.window + 1) : 0;
  query.last_position = position;
  float const factor = op.soft_cap > 0 ? op.scale : op.scale * std::numbers::log2e_v<float>;
  for (int i = 0; i < shape.head_dim; ++i) query.q[i] = round_to(shape.format, q[head * shape.head_dim + i] * factor);
  return query;
}

void attend(PagedAttention const& op, SequenceRows const& sequence, int row_in_sequence, int head) {
  int const head_dim = op.kv.shape.head_dim, position = sequence.first_position + row_in_sequence;
  std::int64_t const row = sequence.first_row + row_in_sequence;
  Query const query = query_of(op, op.q + row * op.q_stride, position, head);
  Partial stack[max_span_levels];
  int depth = 0;
  int const spans = position / attention_span + 1;
  for (int span = 0; span < spans; ++span) {
    attend_span(op, query, sequence, span, stack[depth++]);
    for (int merges = merges_after(span, spans); merges > 0; --merges, --depth)
      merge(stack[depth - 2], stack[depth - 1], head_dim);
  }
  float* out = op.out + row * op.out_stride + std::int64_t(head) * head_dim;  // [head_dim]
  for (int i = 0; i < head_dim; ++i) out[i] = stack[0].o[i] / stack[0].l;
}

}  // namespace

void paged_attention(PagedAttention const& op, Queue const& queue) {
  ensure(op.kv.shape.head_dim <= max_head_dim, "the kokkos backend computes heads of up to 512 dimensions");
  for (SequenceRows const& sequence : op.sequences)
    for_each(queue, "windlass::paged_attention::out", std::int64_t(sequence.rows) * op.heads,
             [&](std::int64_t task) { attend(op, sequence, int(task / op.heads), int(task % op.heads)); });
}

}  // namespace windlass::kokkos
