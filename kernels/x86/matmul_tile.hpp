/// One tile of a matrix product: Tokens rows of activations by Panels panels of weights. Included by matmul.cpp only.
///
/// Each *Slice adds up one K slice into sums[panel * Tokens + token], in the order that kernels/matmul.hpp states.
#pragma once

#include "kernels/matmul.hpp"
#include "kernels/x86/simd.hpp"

namespace windlass::x86::WINDLASS_LEVEL {

constexpr int tokens_per_block = 256;  ///< their activations stay in the second-level cache while panels pass by

struct Tile {
  MatMul const& op;
  int panel, token;              ///< the first of each
  int first_group, group_count;  ///< the slice
  bool first_of_block() const { return token % tokens_per_block == 0; }
};

inline Floats load_scales(std::byte const* at, ScaleType type) {
  if (type == ScaleType::f16) return load_half(reinterpret_cast<std::uint16_t const*>(at));
  return load(reinterpret_cast<float const*>(at));
}

constexpr int vectors_per_group = 8;  ///< of 4 columns by 16 rows of codes

/// The codes of one group as the dot4 instructions want them: codes[j] holds columns 4j .. 4j+3 of the 16 rows.
template <WeightFormat Format>
inline void load_codes(std::byte const* group, Bytes64 (&codes)[vectors_per_group]) {
  if constexpr (Format == WeightFormat::q8 || Format == WeightFormat::q8_min) {
    for (int j = 0; j < vectors_per_group; ++j) codes[j] = load_bytes(group + 64 * j);
  } else {
    for (int j = 0; j < vectors_per_group / 2; ++j) {
      Bytes64 const both = load_bytes(group + 64 * j);
      codes[2 * j] = low_nibbles(both);
      codes[2 * j + 1] = high_nibbles(both);
    }
  }
}

template <WeightFormat Format>
inline Bytes64 code_vector(std::byte const* group, int j) {
  if constexpr (Format == WeightFormat::q8 || Format == WeightFormat::q8_min) return load_bytes(group + 64 * j);
  Bytes64 const both = load_bytes(group + 64 * (j / 2));
  return j % 2 == 0 ? low_nibbles(both) : high_nibbles(both);
}

template <WeightFormat Format>
constexpr bool narrow_codes = Format == WeightFormat::q4 || Format == WeightFormat::q4_min;
template <WeightFormat Format>
constexpr int zero_code = Format == WeightFormat::q8   ? 128
                          : Format == WeightFormat::q4 ? 8
                                                       : 0;
template <WeightFormat Format>
constexpr int code_bytes_per_group = narrow_codes<Format> ? 256 : 512;

/// One token's group of int8 activations and its factors; the next tokens of the tile follow at constant distances.
struct Int8Rows {
  std::int8_t const* codes;
  float const *scales, *scaled_sums;
  std::int32_t const* sums;

  Int8Rows(Tile const& tile) {
    Activations const& x = tile.op.x;
    std::int64_t const at = x.factor_index(tile.token, tile.first_group);
    codes = static_cast<std::int8_t const*>(x.values) + at * group_size;
    scales = x.scales + at;
    scaled_sums = x.scaled_sums + at;
    sums = x.sums + at;
  }
  void next_group() {
    codes += activation_tile * group_size;
    scales += activation_tile;
    scaled_sums += activation_tile;
    sums += activation_tile;
  }
};

/// int8 activations, one scale per group of 32: exact integer dot products, float from there. Columns run outside, so
/// that as many dot products as there are tokens and panels are under way at once; 4 tokens by 3 panels fill the 32
/// registers, and read each weight and each activation least often.
template <WeightFormat Format, ScaleType Scale>
struct Int8Slice {
#if defined(__AVX512F__)
  static constexpr int panels = 3;
#else
  static constexpr int panels = 1;
#endif
  static constexpr int tokens = 4;
  static constexpr std::size_t code_bytes = code_bytes_per_group<Format>;
  static constexpr std::size_t scale_bytes = Scale == ScaleType::f16 ? 2 * lanes : 4 * lanes;
  static constexpr std::size_t group_bytes = code_bytes + (has_min(Format) ? 2 : 1) * scale_bytes;

  template <int Tokens, int Panels>
  static void run(Tile const& tile, Floats* sums) {
    Floats acc[Panels][Tokens];
    Ints dots[Panels][Tokens];
#pragma GCC unroll 4
    for (auto& panel : acc)
#pragma GCC unroll 8
      for (Floats& a : panel) a = zero();
    Int8Rows x(tile);
    std::byte const* group = tile.op.weight->group(tile.panel, tile.first_group);
    std::size_t const panel_bytes = group_bytes * std::size_t(tile.op.weight->groups());
    bool const read_ahead = Panels > 1 && tile.first_of_block();  // a lone panel is one stream, which hardware follows
    for (int g = 0; g < tile.group_count; ++g, group += group_bytes, x.next_group()) {
      if (read_ahead)
#pragma GCC unroll 4
        for (int p = 0; p < Panels; ++p) prefetch(group + std::size_t(Panels + p) * panel_bytes);
      multiply(group, panel_bytes, x, dots);
#pragma GCC unroll 4
      for (int p = 0; p < Panels; ++p) scale(group + std::size_t(p) * panel_bytes, x, dots[p], acc[p]);
    }
#pragma GCC unroll 4
    for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) sums[p * Tokens + t] = acc[p][t];
  }

  /// -zero * sum of token t's codes: what a dot product of the stored codes starts with.
  [[gnu::always_inline]] static Ints zero_times_sum(Int8Rows const& x, int t) {
    if constexpr (zero_code < Format >> 0) return times_minus_power<zero_code<Format>>(broadcast_int(x.sums[t]));
    return broadcast_int(0);
  }

  /// Adds one group's dot products to acc.
  template <int Tokens>
  [[gnu::always_inline]] static void scale(std::byte const* group, Int8Rows const& x, Ints const (&dots)[Tokens],
                                           Floats (&acc)[Tokens]) {
    Floats const scales = load_scales(group + code_bytes, Scale);
    Floats minima = zero();
    if constexpr (has_min(Format)) minima = load_scales(group + code_bytes + scale_bytes, Scale);
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      acc[t] = fma(scales, mul(broadcast(x.scales[t]), to_floats(dots[t])), acc[t]);
      if constexpr (has_min(Format)) acc[t] = fma(minima, broadcast(x.scaled_sums[t]), acc[t]);
    }
  }

 private:
  /// A group of the next panels: hardware does not follow from panel to panel.
  [[gnu::always_inline]] static void prefetch(std::byte const* group) {
#pragma GCC unroll 9
    for (std::size_t line = 0; line < group_bytes; line += 64) __builtin_prefetch(group + line);
  }

  template <int Tokens, int Panels>
  [[gnu::always_inline]] static void multiply(std::byte const* group, std::size_t panel_bytes, Int8Rows const& x,
                                              Ints (&dots)[Panels][Tokens]) {
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
      Ints const start = zero_times_sum(x, t);
#pragma GCC unroll 4
      for (int p = 0; p < Panels; ++p) dots[p][t] = start;
    }
#pragma GCC unroll 8
    for (int j = 0; j < vectors_per_group; ++j) {
      Bytes64 codes[Panels];
#pragma GCC unroll 4
      for (int p = 0; p < Panels; ++p) codes[p] = code_vector<Format>(group + std::size_t(p) * panel_bytes, j);
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t)
#pragma GCC unroll 4
        for (int p = 0; p < Panels; ++p)
          dots[p][t] = dot4<narrow_codes<Format>>(dots[p][t], codes[p], x.codes + t * group_size + 4 * j);
    }
  }
};

/// int8 activations, one scale per half group of 16 columns (Q6_K): the halves follow each other.
template <WeightFormat Format>
struct Int8HalfGroupSlice {
  static constexpr int panels = 1, tokens = 8;

  template <int Tokens, int Panels>
  static void run(Tile const& tile, Floats* sums) {
    static_assert(!narrow_codes<Format>);
    ScaleType const type = tile.op.weight->scale_type;
    std::size_t const scale_bytes = type == ScaleType::f16 ? 2 * lanes : 4 * lanes;
    for (int t = 0; t < Tokens; ++t) sums[t] = zero();
    Int8Rows x(tile);
    for (int g = tile.first_group; g < tile.first_group + tile.group_count; ++g, x.next_group()) {
      std::byte const* const group = tile.op.weight->group(tile.panel, g);
      Bytes64 codes[vectors_per_group];
      load_codes<Format>(group, codes);
      for (int half = 0; half < 2; ++half) {
        std::byte const* const scales = group + code_bytes_per_group<Format> + std::size_t(half) * scale_bytes;
        Floats const scale = load_scales(scales, type);
        for (int t = 0; t < Tokens; ++t) {
          Ints dot = broadcast_int(0), codes_sum = broadcast_int(0);
          for (int j = 4 * half; j < 4 * half + 4; ++j) {
            dot = dot4<false>(dot, codes[j], x.codes + t * group_size + 4 * j);
            codes_sum = dot4<true>(codes_sum, all_ones(), x.codes + t * group_size + 4 * j);
          }
          Floats const x_scale = broadcast(x.scales[t]);
          if constexpr (!has_min(Format)) dot = add_ints(dot, times_minus_power<zero_code<Format>>(codes_sum));
          sums[t] = fma(scale, mul(x_scale, to_floats(dot)), sums[t]);
          if constexpr (has_min(Format))
            sums[t] = fma(load_scales(scales + 2 * scale_bytes, type), mul(x_scale, to_floats(codes_sum)), sums[t]);
        }
      }
    }
  }
};

/// bf16 weights and activations: pairs of columns, one dot2 each.
struct Bf16Slice {
  static constexpr int panels = 2, tokens = 8;

  template <int Tokens, int Panels>
  static void run(Tile const& tile, Floats* sums) {
    MatMul const& op = tile.op;
    Floats acc[Panels][Tokens];
    for (auto& panel : acc)
      for (Floats& a : panel) a = zero();
    auto const* const x =
        static_cast<std::uint16_t const*>(op.x.values) + tile.token * op.x.stride + tile.first_group * group_size;
    std::byte const* w[Panels];
    for (int p = 0; p < Panels; ++p) w[p] = op.weight->group(tile.panel + p, tile.first_group);
    for (int pair = 0; pair < tile.group_count * group_size / 2; ++pair) {
      Bytes64 weights[Panels];
      for (int p = 0; p < Panels; ++p) weights[p] = load_bytes(w[p] + 64 * pair);
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t)
        for (int p = 0; p < Panels; ++p) acc[p][t] = dot2_bf16(acc[p][t], weights[p], x + t * op.x.stride + 2 * pair);
    }
    for (int p = 0; p < Panels; ++p)
      for (int t = 0; t < Tokens; ++t) sums[p * Tokens + t] = acc[p][t];
  }
};

}  // namespace windlass::x86::WINDLASS_LEVEL
