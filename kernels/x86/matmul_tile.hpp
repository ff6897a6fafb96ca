/// One tile of a matrix product: Tokens rows of activations by Panels panels of weights. Included by matmul.cpp only.
///
/// Each *Slice adds up one K slice into sums[panel * Tokens + token], in the order that kernels/matmul.hpp states.
#pragma once

#include "kernels/matmul.hpp"
#include "kernels/x86/simd.hpp"

namespace windlass::x86::WINDLASS_LEVEL {

struct Tile {
  MatMul const& op;
  int panel, token;              ///< the first of each
  int first_group, group_count;  ///< the slice
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
constexpr bool narrow_codes = Format == WeightFormat::q4 || Format == WeightFormat::q4_min;
template <WeightFormat Format>
constexpr int zero_code = Format == WeightFormat::q8   ? 128
                          : Format == WeightFormat::q4 ? 8
                                                       : 0;
template <WeightFormat Format>
constexpr int code_bytes_per_group = narrow_codes<Format> ? 256 : 512;

/// int8 activations, one scale per group of 32: exact integer dot products, float from there.
template <WeightFormat Format, ScaleType Scale>
struct Int8Slice {
  static constexpr int panels = 1;
  static constexpr int groups_at_once = 64;

  template <int Tokens, int Panels>
  static void run(Tile const& tile, Floats* sums) {
    Floats acc[Tokens];
    for (Floats& a : acc) a = zero();
    for (int done = 0; done < tile.group_count; done += groups_at_once) {
      int const count = tile.group_count - done < groups_at_once ? tile.group_count - done : groups_at_once;
      some_groups<Tokens>(tile, tile.first_group + done, count, acc);
    }
    for (int t = 0; t < Tokens; ++t) sums[t] = acc[t];
  }

  /// Scales of the activations, and for the minimum's term scale * (sum of the codes), group by group.
  template <int Tokens>
  struct Factors {
    alignas(64) float scale[groups_at_once][Tokens], scaled_sum[groups_at_once][Tokens];
    alignas(64) std::int32_t start[groups_at_once][Tokens];  // of the integer sum: takes the codes' zero point away

    Factors(Tile const& tile, int first_group, int count) {
      Activations const& x = tile.op.x;
      std::int64_t const groups = x.stride / group_size;
      for (int t = 0; t < Tokens; ++t) {
        float const* const scales = x.scales + (tile.token + t) * groups + first_group;
        std::int32_t const* const sums = x.sums + (tile.token + t) * groups + first_group;
        for (int g = 0; g < count; ++g) {
          scale[g][t] = scales[g];
          scaled_sum[g][t] = scales[g] * float(sums[g]);
          start[g][t] = -zero_code<Format> * sums[g];
        }
      }
    }
  };

  template <int Tokens>
  static inline __attribute__((always_inline)) void some_groups(Tile const& tile, int first_group, int count,
                                                                Floats (&acc)[Tokens]) {
    constexpr std::size_t code_bytes = code_bytes_per_group<Format>;
    constexpr std::size_t scale_bytes = Scale == ScaleType::f16 ? 2 * lanes : 4 * lanes;
    constexpr std::size_t group_bytes = code_bytes + (has_min(Format) ? 2 : 1) * scale_bytes;
    Activations const& activations = tile.op.x;
    Factors<Tokens> const factors(tile, first_group, count);
    std::int64_t const stride = activations.stride;
    std::int8_t const* x =
        static_cast<std::int8_t const*>(activations.values) + tile.token * stride + first_group * group_size;
    std::byte const* group = tile.op.weight->group(tile.panel, first_group);
    for (int g = 0; g < count; ++g, group += group_bytes, x += group_size) {
      Bytes64 codes[vectors_per_group];
      load_codes<Format>(group, codes);
      Floats const scale = load_scales(group + code_bytes, Scale);
      Floats minimum = zero();
      if constexpr (has_min(Format)) minimum = load_scales(group + code_bytes + scale_bytes, Scale);
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) {
        Ints dot = broadcast_int(zero_code<Format> == 0 ? 0 : factors.start[g][t]);
#pragma GCC unroll 8
        for (int j = 0; j < vectors_per_group; ++j)
          dot = dot4<narrow_codes<Format>>(dot, codes[j], x + t * stride + 4 * j);
        acc[t] = fma(scale, mul(broadcast(factors.scale[g][t]), to_floats(dot)), acc[t]);
        if constexpr (has_min(Format)) acc[t] = fma(minimum, broadcast(factors.scaled_sum[g][t]), acc[t]);
      }
    }
  }
};

/// int8 activations, one scale per half group of 16 columns (Q6_K): the halves follow each other.
template <WeightFormat Format>
struct Int8HalfGroupSlice {
  static constexpr int panels = 1;

  template <int Tokens, int Panels>
  static void run(Tile const& tile, Floats* sums) {
    static_assert(!narrow_codes<Format>);
    MatMul const& op = tile.op;
    ScaleType const type = op.weight->scale_type;
    std::size_t const scale_bytes = type == ScaleType::f16 ? 2 * lanes : 4 * lanes;
    std::int64_t const groups = op.x.stride / group_size;
    auto const* const values = static_cast<std::int8_t const*>(op.x.values);
#if defined(__AVX512F__)
    Bytes64 const ones{_mm512_set1_epi8(1)};
#else
    Bytes64 const ones{_mm256_set1_epi8(1), _mm256_set1_epi8(1)};
#endif
    for (int t = 0; t < Tokens; ++t) sums[t] = zero();
    for (int g = tile.first_group; g < tile.first_group + tile.group_count; ++g) {
      std::byte const* const group = op.weight->group(tile.panel, g);
      Bytes64 codes[vectors_per_group];
      load_codes<Format>(group, codes);
      for (int half = 0; half < 2; ++half) {
        std::byte const* const scales = group + code_bytes_per_group<Format> + std::size_t(half) * scale_bytes;
        Floats const scale = load_scales(scales, type);
        for (int t = 0; t < Tokens; ++t) {
          std::int8_t const* const x = values + (tile.token + t) * op.x.stride + g * group_size;
          Ints dot = broadcast_int(0), codes_sum = broadcast_int(0);
          for (int j = 4 * half; j < 4 * half + 4; ++j) {
            dot = dot4<false>(dot, codes[j], x + 4 * j);
            codes_sum = dot4<true>(codes_sum, ones, x + 4 * j);
          }
          for (int bit = 1; bit < zero_code<Format>; bit *= 2) codes_sum = add_ints(codes_sum, codes_sum);
          if constexpr (!has_min(Format)) dot = subtract_ints(dot, codes_sum);
          Floats const x_scale = broadcast(op.x.scales[(tile.token + t) * groups + g]);
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
  static constexpr int panels = 2;

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
