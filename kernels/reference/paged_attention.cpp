#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "kernels/attention.hpp"
#include "kernels/kv_tile.hpp"

namespace windlass {
namespace {

/// Attention over some positions: o = sum of exp(s_j - m) v_j, l = sum of exp(s_j - m), m = the largest s_j.
struct Partial {
  std::vector<double> o;  // [head_dim]
  double m = -std::numeric_limits<double>::infinity();
  double l = 0;
};

/// One row and head: where its query is and which positions it sees.
struct Query {
  std::vector<double> q;  // [head_dim], scaled, in the page format
  int kv_head;
  int first_position, last_position;
};

double score(PagedAttention const& op, Query const& query, std::byte const* k_tile, int position) {
  KvShape const& shape = op.kv.shape;
  double dot = 0;
  for (int i = 0; i < shape.head_dim; ++i)
    dot += query.q[std::size_t(i)] * double(load_element(k_tile, shape.format, k_element(shape, position, i)));
  if (op.soft_cap > 0) return double(op.soft_cap) * std::tanh(dot / double(op.soft_cap));
  return dot * std::numbers::ln2;  // q holds a factor log2 e
}

/// The tile of block `block` in page `page`, masked to the positions that the query sees (at least one).
Partial attend_to_tile(PagedAttention const& op, Query const& query, int block, std::uint32_t page) {
  KvShape const& shape = op.kv.shape;
  std::byte const* slab = op.kv.base + page * shape.page_bytes();
  std::byte const* k_tile = slab + shape.k_offset(op.kv.layer, query.kv_head);
  std::byte const* v_tile = slab + shape.v_offset(op.kv.layer, query.kv_head);
  int const begin = std::max(query.first_position - block * block_tokens, 0);
  int const end = std::min(query.last_position + 1 - block * block_tokens, block_tokens);
  Partial tile{.o = std::vector<double>(std::size_t(shape.head_dim), 0)};
  std::vector<double> s;
  for (int p = begin; p < end; ++p) s.push_back(score(op, query, k_tile, p));
  tile.m = *std::max_element(s.begin(), s.end());
  for (int p = begin; p < end; ++p) {
    double const probability = std::exp(s[std::size_t(p - begin)] - tile.m);
    double const weight =
        shape.format == KvFormat::bf16 ? double(round_to(shape.format, float(probability))) : probability;
    tile.l += probability;
    for (int i = 0; i < shape.head_dim; ++i)
      tile.o[std::size_t(i)] += weight * double(load_element(v_tile, shape.format, v_element(shape, p, i)));
  }
  return tile;
}

void merge(Partial& sum, Partial const& tile) {
  double const m = std::max(sum.m, tile.m);
  double const keep = std::exp(sum.m - m), take = std::exp(tile.m - m);
  for (std::size_t i = 0; i < sum.o.size(); ++i) sum.o[i] = sum.o[i] * keep + tile.o[i] * take;
  sum.l = sum.l * keep + tile.l * take;
  sum.m = m;
}

void attend(PagedAttention const& op, SequenceRows const& sequence, int row_in_sequence, int head) {
  KvShape const& shape = op.kv.shape;
  int const position = sequence.first_position + row_in_sequence;
  std::int64_t const row = sequence.first_row + row_in_sequence;
  Query query{.q = {},
              .kv_head = head / (op.heads / shape.kv_heads),
              .first_position = op.window > 0 ? std::max(0, position - op.window + 1) : 0,
              .last_position = position};
  float const factor = op.soft_cap > 0 ? op.scale : op.scale * std::numbers::log2e_v<float>;
  for (int i = 0; i < shape.head_dim; ++i)
    query.q.push_back(double(round_to(shape.format, op.q[row * op.q_stride + head * shape.head_dim + i] * factor)));
  Partial sum{.o = std::vector<double>(std::size_t(shape.head_dim), 0)};
  for (int block = query.first_position / block_tokens; block <= position / block_tokens; ++block)
    merge(sum, attend_to_tile(op, query, block, sequence.pages[block]));
  for (int i = 0; i < shape.head_dim; ++i)
    op.out[row * op.out_stride + head * shape.head_dim + i] = float(sum.o[std::size_t(i)] / sum.l);
}

}  // namespace

void reference::paged_attention(PagedAttention const& op, Queue const&) {
  for (SequenceRows const& sequence : op.sequences)
    for (int row = 0; row < sequence.rows; ++row)
      for (int head = 0; head < op.heads; ++head) attend(op, sequence, row, head);
}

}  // namespace windlass
