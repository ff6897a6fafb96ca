#include <cmath>
#include <vector>

#include "kernels/kv_tile.hpp"
#include "kernels/rope.hpp"

namespace windlass {
namespace {

/// One head's vector after the optional norm and the rotation.
std::vector<double> normed_and_rotated(RopeAndStore const& op, float const* head, float const* norm, int row) {
  int const head_dim = op.kv.shape.head_dim, half = op.rotary_dim / 2;
  std::vector<double> x(head, head + head_dim);
  if (norm) {
    double square_sum = 0;
    for (double value : x) square_sum += value * value;
    double const root = std::sqrt(square_sum / head_dim + double(op.norm_eps));
    for (int i = 0; i < head_dim; ++i) x[std::size_t(i)] *= double(norm[i]) / root;
  }
  float const* cosine = op.cos_sin + std::int64_t(row) * op.rotary_dim;  // [rotary_dim / 2]
  float const* sine = cosine + half;                                     // [rotary_dim / 2]
  for (int i = 0; i < half; ++i) {
    double const a = x[std::size_t(i)], b = x[std::size_t(i + half)];
    x[std::size_t(i)] = a * double(cosine[i]) - b * double(sine[i]);
    x[std::size_t(i + half)] = b * double(cosine[i]) + a * double(sine[i]);
  }
  return x;
}

void do_row(RopeAndStore const& op, int row, int position, std::uint32_t page) {
  KvShape const& shape = op.kv.shape;
  float* q = op.qkv + row * op.stride;                   // [heads, head_dim]
  float const* k = q + op.heads * shape.head_dim;        // [kv_heads, head_dim]
  float const* v = k + shape.kv_heads * shape.head_dim;  // [kv_heads, head_dim]
  std::byte* slab = op.kv.base + page * shape.page_bytes();
  for (int head = 0; head < op.heads; ++head) {
    auto const rotated = normed_and_rotated(op, q + head * shape.head_dim, op.q_norm, row);
    for (int i = 0; i < shape.head_dim; ++i) q[head * shape.head_dim + i] = float(rotated[std::size_t(i)]);
  }
  for (int head = 0; head < shape.kv_heads; ++head) {
    auto const rotated = normed_and_rotated(op, k + head * shape.head_dim, op.k_norm, row);
    std::byte* k_tile = slab + shape.k_offset(op.kv.layer, head);
    std::byte* v_tile = slab + shape.v_offset(op.kv.layer, head);
    int const p = position % block_tokens;
    for (int i = 0; i < shape.head_dim; ++i) {
      store_element(k_tile, shape.format, k_element(shape, p, i), float(rotated[std::size_t(i)]));
      store_element(v_tile, shape.format, v_element(shape, p, i), v[head * shape.head_dim + i]);
    }
  }
}

}  // namespace

void reference::rope_and_store(RopeAndStore const& op, Queue const&) {
  for (SequenceRows const& sequence : op.sequences)
    for (int i = 0; i < sequence.rows; ++i) {
      int const position = sequence.first_position + i;
      do_row(op, sequence.first_row + i, position, sequence.pages[position / block_tokens]);
    }
}

}  // namespace windlass
