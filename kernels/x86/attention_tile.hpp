/// One tile of 64 positions against a block of rows. Included by attention.cpp only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/attention.hpp"
#include "kernels/x86/tails.hpp"

namespace windlass::x86::WINDLASS_LEVEL {

constexpr int block_rows = attention_block_rows;
constexpr int max_head_dim = 256;
#if defined(__AVX512F__)
constexpr int micro_rows = 6;  ///< 24 accumulators of the 32 registers
#else
constexpr int micro_rows = 1;
#endif
constexpr int tile_vectors = block_tokens / lanes;

constexpr int whole_lanes(int d) { return (d + lanes - 1) / lanes * lanes; }

/// The rows' queries, multiplied by scale (and log2 e, where there is no soft cap) and rounded as the pages are.
struct Queries {
  alignas(64) float values[block_rows * max_head_dim];
  int rows, head_dim;
  int begin[block_rows], end[block_rows];  ///< positions [begin, end) are seen
  float soft_cap;
  float* f32() { return values; }
  float const* f32() const { return values; }
  std::uint16_t* bf16() { return reinterpret_cast<std::uint16_t*>(values); }
  std::uint16_t const* bf16() const { return reinterpret_cast<std::uint16_t const*>(values); }
};

struct KvTile {
  std::byte const *k, *v;
  std::byte const *next_k,
      *next_v;  ///< of the next tile: elsewhere in memory, where hardware prefetchers do not follow
  int first_position;
};

/// Per row: o [whole_lanes(head_dim)], the maximum m (base-2 exponent) and 16 partial sums l of the probabilities, both
/// relative to m.
struct Partial {
  alignas(64) float o[block_rows * max_head_dim];
  alignas(64) float l[block_rows][lanes];
  alignas(64) float m[block_rows];

  void clear(int rows, int d) {
    std::memset(o, 0, sizeof(float) * std::size_t(rows * d));
    std::memset(l, 0, sizeof(float) * std::size_t(rows * lanes));
    for (float& each : m) each = -__builtin_inff();
  }
  void save(float* at, int rows, int d) const {
    std::memcpy(at, o, sizeof(float) * std::size_t(rows * d));
    std::memcpy(at + block_rows * d, l, sizeof(float) * std::size_t(rows * lanes));
    std::memcpy(at + block_rows * (d + lanes), m, sizeof m);
  }
  void restore(float const* at, int rows, int d) {
    std::memcpy(o, at, sizeof(float) * std::size_t(rows * d));
    std::memcpy(l, at + block_rows * d, sizeof(float) * std::size_t(rows * lanes));
    std::memcpy(m, at + block_rows * (d + lanes), sizeof m);
  }
};

/// What both sides of a merge are multiplied by: 2^(m - max(m, other)), 16 rows at a time. Two empty sides give 0 and
/// 0.
struct MergeFactors {
  alignas(64) float keep[lanes], take[lanes];
  Floats both;  ///< the new m
  MergeFactors(Floats mine, Floats theirs) : both(max(mine, theirs)) {
    store(keep, exp2(sub(mine, both)));
    store(take, exp2(sub(theirs, both)));
  }
};

/// x = x * keep + other * take.
inline void merge_values(float* x, Floats other, float keep, float take) {
  store(x, fma(other, broadcast(take), mul(load(x), broadcast(keep))));
}

inline void merge_partials(Partial& into, Partial const& from, int rows, int d) {
  for (int first = 0; first < rows; first += lanes) {
    MergeFactors const factors(load(into.m + first), load(from.m + first));
    store(into.m + first, factors.both);
    for (int r = first; r < rows && r < first + lanes; ++r) {
      float const keep = factors.keep[r - first], take = factors.take[r - first];
      merge_values(into.l[r], load(from.l[r]), keep, take);
      for (int i = 0; i < d; i += lanes) merge_values(into.o + r * d + i, load(from.o + r * d + i), keep, take);
    }
  }
}

/// scores[r][j] = q[row + r] . k[16 j ..], each in ascending d (pairs of d for bf16) into one accumulator.
template <KvFormat Format, int Rows>
inline void score_tile(Queries const& queries, int row, KvTile const& tile, Floats (&scores)[Rows][tile_vectors]) {
  int const d = queries.head_dim;
  for (auto& of_row : scores)
    for (Floats& s : of_row) s = zero();
  constexpr int step = Format == KvFormat::bf16 ? 2 : 1;  // dimensions per 256 bytes of K
  for (int i = 0; i < d; i += step) {
    std::byte const* const at = tile.k + std::size_t(i / step) * 256;
    Bytes64 keys[tile_vectors];
    if (row == 0)
      for (int j = 0; j < tile_vectors; ++j) __builtin_prefetch(tile.next_k + std::size_t(i / step) * 256 + 64 * j);
    for (int j = 0; j < tile_vectors; ++j) keys[j] = load_bytes(at + 64 * j);
    for (int r = 0; r < Rows; ++r)
      for (int j = 0; j < tile_vectors; ++j) {
        if constexpr (Format == KvFormat::bf16)
          scores[r][j] = dot2_bf16(scores[r][j], keys[j], queries.bf16() + (row + r) * d + i);
        else
          scores[r][j] = fma(broadcast(queries.f32()[(row + r) * d + i]), as_floats(keys[j]), scores[r][j]);
      }
  }
}

inline Floats capped(Floats s, float cap) {  // cap * tanh(s / cap), in units of log2
  Floats const one = broadcast(1.0f);
  Floats const t = exp(mul(s, broadcast(2.0f / cap)));
  return mul(broadcast(cap * log2_of_e), sub(one, div(broadcast(2.0f), add(t, one))));
}

/// Applies soft cap, window and the causal border to a row's scores; returns the lanes' maxima.
inline Floats mask_row(Queries const& queries, int row, int first_position, Floats (&scores)[tile_vectors]) {
  if (queries.soft_cap > 0)
    for (Floats& s : scores) s = capped(s, queries.soft_cap);
  int const begin = queries.begin[row] - first_position, end = queries.end[row] - first_position;
  if (begin > 0 || end < block_tokens)
    for (int j = 0; j < tile_vectors; ++j)
      scores[j] = keep_lanes(scores[j], begin - j * lanes, end - j * lanes, broadcast(-__builtin_inff()));
  return max(max(scores[0], scores[1]), max(scores[2], scores[3]));
}

/// Probabilities of the tile relative to 2^base, as the V product reads them; returns their sums by lane.
template <KvFormat Format>
inline Floats soften_row(Floats (&scores)[tile_vectors], float base, void* out) {
  for (Floats& s : scores) s = exp2(sub(s, broadcast(base)));
  for (int j = 0; j < tile_vectors; ++j) {
    if constexpr (Format == KvFormat::bf16)
      store_bf16(static_cast<std::uint16_t*>(out) + j * lanes, scores[j]);
    else
      store(static_cast<float*>(out) + j * lanes, scores[j]);
  }
  return add(add(scores[0], scores[1]), add(scores[2], scores[3]));
}

/// Columns first .. of a V tile with `stride` dimensions.
struct ValueColumns {
  std::byte const* v;
  std::byte const* next_v;  ///< prefetched; null: not now
  int stride, first;
};

/// o[row + r][first .. first + 16 * Vectors) = keep * o + take * sum over positions of p * v, ascending positions.
template <KvFormat Format, int Rows, int Vectors>
inline void add_values(float const* p, ValueColumns const& columns, float* o, MergeFactors const& factors) {
  Floats acc[Rows][Vectors];
  for (auto& of_row : acc)
    for (Floats& a : of_row) a = zero();
  constexpr int step = Format == KvFormat::bf16 ? 2 : 1;  // positions per row of V
  for (int position = 0; position < block_tokens; position += step) {
    std::size_t const offset =
        (std::size_t(position / step) * std::size_t(columns.stride) + std::size_t(columns.first)) * 4;
    std::byte const* const at = columns.v + offset;
    if (columns.next_v)
      for (int j = 0; j < Vectors; ++j) __builtin_prefetch(columns.next_v + offset + 64 * j);
    Bytes64 values[Vectors];
    if constexpr (Vectors == 1)
      values[0] = load_bytes_first(at, columns.stride - columns.first);
    else
      for (int j = 0; j < Vectors; ++j) values[j] = load_bytes(at + 64 * j);
    for (int r = 0; r < Rows; ++r)
      for (int j = 0; j < Vectors; ++j) {
        if constexpr (Format == KvFormat::bf16)
          acc[r][j] =
              dot2_bf16(acc[r][j], values[j], reinterpret_cast<std::uint16_t const*>(p + r * block_tokens) + position);
        else
          acc[r][j] = fma(broadcast(p[r * block_tokens + position]), as_floats(values[j]), acc[r][j]);
      }
  }
  for (int r = 0; r < Rows; ++r)
    for (int j = 0; j < Vectors; ++j)
      merge_values(o + r * whole_lanes(columns.stride) + columns.first + j * lanes, acc[r][j], factors.keep[r],
                   factors.take[r]);
}

template <KvFormat Format, int Rows>
void attend_rows(Queries const& queries, int row, KvTile const& tile, Partial& partial) {
  int const d = queries.head_dim;
  alignas(64) float p[Rows * block_tokens];  // bf16 rows use the first half of theirs
  alignas(64) float bases[lanes];
  Floats scores[Rows][tile_vectors], lane_maxima[Rows];
  score_tile<Format, Rows>(queries, row, tile, scores);
  for (int r = 0; r < Rows; ++r) lane_maxima[r] = mask_row(queries, row + r, tile.first_position, scores[r]);
  Floats const tile_max = row_maxima(lane_maxima), lowest = broadcast(-3.4028235e38f);
  store(bases, where_at_least(tile_max, lowest, tile_max));  // 0 where a row sees nothing: all its scores are -infinity
  MergeFactors const factors(load_first(partial.m + row, Rows), tile_max);
  store_first(partial.m + row, factors.both, Rows);
  for (int r = 0; r < Rows; ++r) {
    Floats const sums = soften_row<Format>(scores[r], bases[r], p + r * block_tokens);
    merge_values(partial.l[row + r], sums, factors.keep[r], factors.take[r]);
  }
  float* const o = partial.o + row * whole_lanes(d);
  int i = 0;
  std::byte const* const next_v = row == 0 ? tile.next_v : nullptr;
  for (; i + 4 * lanes <= d; i += 4 * lanes) add_values<Format, Rows, 4>(p, {tile.v, next_v, d, i}, o, factors);
  for (; i < d; i += lanes) add_values<Format, Rows, 1>(p, {tile.v, next_v, d, i}, o, factors);
}

template <KvFormat Format, int Rows>
void attend_last_rows(Queries const& queries, int row, int rows, KvTile const& tile, Partial& partial) {
  if constexpr (Rows > 0) {
    if (rows == Rows) return attend_rows<Format, Rows>(queries, row, tile, partial);
    attend_last_rows<Format, Rows - 1>(queries, row, rows, tile, partial);
  }
}

/// All rows that see any of the tile's positions.
template <KvFormat Format>
void attend_tile(Queries const& queries, KvTile const& tile, Partial& partial) {
  for (int row = 0; row < queries.rows; row += micro_rows) {
    int const rows = queries.rows - row < micro_rows ? queries.rows - row : micro_rows;
    bool const ahead = queries.end[row + rows - 1] <= tile.first_position;
    bool const behind = queries.begin[row] >= tile.first_position + block_tokens;
    if (!ahead && !behind) attend_last_rows<Format, micro_rows>(queries, row, rows, tile, partial);
  }
}

}  // namespace windlass::x86::WINDLASS_LEVEL
