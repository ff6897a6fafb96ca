/// The float32 tile of a matrix product: any weight format, widened column by column. Included by matmul.cpp only.
#pragma once

#include "kernels/x86/matmul_tile.hpp"

namespace windlass::x86::WINDLASS_LEVEL {

/// Codes of column 4j + i of the 16 rows, as floats.
template <int I>
inline Floats code_column(Bytes64 codes) {
#if defined(__AVX512F__)
  return {_mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(codes.v, 8 * I), _mm512_set1_epi32(255)))};
#else
  __m256i const mask = _mm256_set1_epi32(255);
  return {_mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(codes.a, 8 * I), mask)),
          _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(codes.b, 8 * I), mask))};
#endif
}

/// Widens one group of one panel into w[k], the 32 columns of 16 rows.
template <WeightFormat Format>
inline void widen_group(PackedMatrix const& m, std::byte const* group, Floats (&w)[group_size]) {
  if constexpr (Format == WeightFormat::f32) {
    for (int k = 0; k < group_size; ++k) w[k] = load(reinterpret_cast<float const*>(group) + k * lanes);
  } else if constexpr (Format == WeightFormat::f16) {
    for (int k = 0; k < group_size; ++k) w[k] = load_half(reinterpret_cast<std::uint16_t const*>(group) + k * lanes);
  } else if constexpr (Format == WeightFormat::bf16) {
    for (int k = 0; k < group_size; k += 2) {
      Bytes64 const pairs = load_bytes(group + 32 * k);
      w[k] = even_bf16(pairs);
      w[k + 1] = odd_bf16(pairs);
    }
  } else {
    Bytes64 codes[vectors_per_group];
    load_codes<Format>(group, codes);
    std::size_t const scale_bytes = m.scale_type == ScaleType::f16 ? 2 * lanes : 4 * lanes;
    int const scale_count = group_size / m.scale_group;
    for (int j = 0; j < vectors_per_group; ++j) {
      std::byte const* const at =
          group + code_bytes_per_group<Format> + std::size_t(4 * j / m.scale_group) * scale_bytes;
      Floats const scale = load_scales(at, m.scale_type);
      Floats const code[4] = {code_column<0>(codes[j]), code_column<1>(codes[j]), code_column<2>(codes[j]),
                              code_column<3>(codes[j])};
      if constexpr (has_min(Format)) {
        Floats const minimum = load_scales(at + std::size_t(scale_count) * scale_bytes, m.scale_type);
        for (int i = 0; i < 4; ++i) w[4 * j + i] = fma(scale, code[i], minimum);
      } else {
        Floats const zero_point = broadcast(float(zero_code<Format>));
        for (int i = 0; i < 4; ++i) w[4 * j + i] = mul(scale, sub(code[i], zero_point));
      }
    }
  }
}

/// float32 activations. Weights are widened a group at a time, which a tile's tokens share.
template <WeightFormat Format>
struct FloatSlice {
#if defined(__AVX512F__)
  static constexpr int panels = 2, tokens = 8;
#else
  static constexpr int panels = 1, tokens = 4;
#endif

  template <int Tokens, int Panels>
  static void run(Tile const& tile, Floats* sums) {
    MatMul const& op = tile.op;
    Floats acc[Panels][Tokens];
#pragma GCC unroll 2
    for (auto& panel : acc)
#pragma GCC unroll 8
      for (Floats& a : panel) a = zero();
    auto const* x =
        static_cast<float const*>(op.x.values) + tile.token * op.x.stride + std::int64_t(tile.first_group) * group_size;
    for (int g = tile.first_group; g < tile.first_group + tile.group_count; ++g, x += group_size) {
      Floats w[Panels][group_size];
      for (int p = 0; p < Panels; ++p) widen_group<Format>(*op.weight, op.weight->group(tile.panel + p, g), w[p]);
      for (int k = 0; k < group_size; ++k)
#pragma GCC unroll 8
        for (int t = 0; t < Tokens; ++t) {
          Floats const value = broadcast(x[t * op.x.stride + k]);
#pragma GCC unroll 2
          for (int p = 0; p < Panels; ++p) acc[p][t] = fma(value, w[p][k], acc[p][t]);
        }
    }
#pragma GCC unroll 2
    for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 8
      for (int t = 0; t < Tokens; ++t) sums[p * Tokens + t] = acc[p][t];
  }
};

}  // namespace windlass::x86::WINDLASS_LEVEL
