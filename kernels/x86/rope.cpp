// Rotation of q and k, and the write of k and v into their tiles: one row at a time, bound by the scattered stores.
#include "kernels/rope.hpp"

#include <cmath>
#include <cstring>

#include "kernels/x86/level_operations.hpp"
#include "kernels/x86/tails.hpp"

namespace windlass::x86::WINDLASS_LEVEL {
namespace {

constexpr int max_head_dim = 1024;

void norm_head(float* x, float const* weight, int d, float eps) {
  Floats squares = zero();
  for (int i = 0; i < d; i += lanes) {
    Floats const values = load_first(x + i, d - i);
    squares = fma(values, values, squares);
  }
  Floats const scale = broadcast(1.0f / std::sqrt(reduce_add(squares) / float(d) + eps));
  for (int i = 0; i < d; i += lanes)
    store_first(x + i, mul(mul(load_first(x + i, d - i), scale), load_first(weight + i, d - i)), d - i);
}

void rotate_head(float* x, float const* cos_sin, int rotary_dim) {
  int const half = rotary_dim / 2;
  float const *c = cos_sin, *s = cos_sin + half;
  int i = 0;
  for (; i + lanes <= half; i += lanes) {
    Floats const a = load(x + i), b = load(x + half + i), cosine = load(c + i), sine = load(s + i);
    store(x + i, fma(a, cosine, sub(zero(), mul(b, sine))));
    store(x + half + i, fma(b, cosine, mul(a, sine)));
  }
  for (; i < half; ++i) {
    float const a = x[i], b = x[half + i];
    x[i] = __builtin_fmaf(a, c[i], 0.0f - b * s[i]);
    x[half + i] = __builtin_fmaf(b, c[i], a * s[i]);
  }
}

/// Rounds the head to the page's format and scatters it into the K and V tiles at position p of the block.
void store_head(RopeAndStore const& op, std::byte* page, int head, float const* k, float const* v, int p) {
  KvShape const& shape = op.kv.shape;
  int const d = shape.head_dim;
  std::byte* const k_tile = page + shape.k_offset(op.kv.layer, head);
  std::byte* const v_tile = page + shape.v_offset(op.kv.layer, head);
  if (shape.format == KvFormat::f32) {
    for (int i = 0; i < d; ++i) std::memcpy(k_tile + std::size_t(i * block_tokens + p) * 4, k + i, 4);
    std::memcpy(v_tile + std::size_t(p * d) * 4, v, std::size_t(d) * 4);
    return;
  }
  alignas(64) std::uint16_t rounded[max_head_dim];
  for (int i = 0; i < d; i += lanes) store_bf16(rounded + i, load_first(k + i, d - i));
  for (int i = 0; i < d; i += 2) std::memcpy(k_tile + std::size_t(i / 2 * block_tokens + p) * 4, rounded + i, 4);
  for (int i = 0; i < d; i += lanes) store_bf16(rounded + i, load_first(v + i, d - i));
  std::byte* const pairs = v_tile + std::size_t(p / 2 * d) * 4 + std::size_t(p % 2) * 2;
  for (int i = 0; i < d; ++i) std::memcpy(pairs + std::size_t(i) * 4, rounded + i, 2);
}

void rope_row(RopeAndStore const& op, SequenceRows const& sequence, int row) {
  KvShape const& shape = op.kv.shape;
  int const d = shape.head_dim, position = sequence.first_position + row;
  std::int64_t const t = sequence.first_row + row;
  float* const q = op.qkv + t * op.stride;
  float* const k = q + op.heads * d;
  float* const v = k + shape.kv_heads * d;
  float const* const cos_sin = op.cos_sin + t * op.rotary_dim;
  for (int head = 0; head < op.heads; ++head) {
    if (op.q_norm) norm_head(q + head * d, op.q_norm, d, op.norm_eps);
    rotate_head(q + head * d, cos_sin, op.rotary_dim);
  }
  std::byte* const page = op.kv.base + std::size_t(sequence.pages[position / block_tokens]) * shape.page_bytes();
  for (int head = 0; head < shape.kv_heads; ++head) {
    if (op.k_norm) norm_head(k + head * d, op.k_norm, d, op.norm_eps);
    rotate_head(k + head * d, cos_sin, op.rotary_dim);
    store_head(op, page, head, k + head * d, v + head * d, position % block_tokens);
  }
}

}  // namespace

void rope_and_store(RopeAndStore const& op, Queue const& queue) {
  constexpr int rows_per_part = 8;
  for (SequenceRows const& sequence : op.sequences)
    queue.team->for_parts(sequence.rows, rows_per_part, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t row = begin; row < end; ++row) rope_row(op, sequence, int(row));
    });
}

}  // namespace windlass::x86::WINDLASS_LEVEL
