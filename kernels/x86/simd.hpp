/// Sixteen float lanes, whatever the registers: one AVX-512 register or two AVX2 ones. Every operation here is exact or
/// correctly rounded per lane, so the same source gives the same bits on every level.
///
/// Each kernel source is compiled once per level (kernels/CMakeLists.txt) into a namespace named after it.
#pragma once

#include <immintrin.h>

#include <cstdint>

#ifndef WINDLASS_LEVEL
#error "compile x86 kernels through windlass_x86_level() in kernels/CMakeLists.txt"
#endif

namespace windlass::x86::WINDLASS_LEVEL {

constexpr int lanes = 16;

#if defined(__AVX512F__)

struct Floats {
  __m512 v;
};
struct Ints {
  __m512i v;
};
struct Bytes64 {
  __m512i v;
};

inline Floats zero() { return {_mm512_setzero_ps()}; }
inline Floats broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline Floats load(float const* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Floats a) { _mm512_storeu_ps(p, a.v); }
inline Floats add(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats sub(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats mul(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats div(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats max(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Floats min(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Floats round_even(Floats a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline Floats magnitude(Floats a) { return {_mm512_abs_ps(a.v)}; }
/// x where a >= b, else 0.
inline Floats where_at_least(Floats a, Floats b, Floats x) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ), x.v)};
}
/// Lanes [first, end) of x, the others `other`.
inline Floats keep_lanes(Floats x, int first, int end, Floats other) {
  unsigned const below_end = end >= 16 ? 0xffffu : (1u << (end < 0 ? 0 : end)) - 1u;
  unsigned const below_first = first >= 16 ? 0xffffu : (1u << (first < 0 ? 0 : first)) - 1u;
  return {_mm512_mask_mov_ps(other.v, __mmask16(below_end & ~below_first), x.v)};
}
/// x * 2^n for integral n in [-126, 127].
inline Floats scale_by_power(Floats x, Floats n) { return {_mm512_scalef_ps(x.v, n.v)}; }
inline Ints broadcast_int(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
inline Ints load_ints(std::int32_t const* p) { return {_mm512_loadu_si512(p)}; }
inline Floats to_floats(Ints a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline Floats load_half(std::uint16_t const* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<__m256i const*>(p)))};
}
inline Bytes64 load_bytes(void const* p) { return {_mm512_loadu_si512(p)}; }
inline Bytes64 low_nibbles(Bytes64 a) { return {_mm512_and_si512(a.v, _mm512_set1_epi8(15))}; }
inline Bytes64 high_nibbles(Bytes64 a) { return {_mm512_and_si512(_mm512_srli_epi16(a.v, 4), _mm512_set1_epi8(15))}; }
/// The even and the odd elements of 16 bf16 pairs, widened.
inline Floats even_bf16(Bytes64 a) { return {_mm512_castsi512_ps(_mm512_slli_epi32(a.v, 16))}; }
inline Floats odd_bf16(Bytes64 a) {
  return {_mm512_castsi512_ps(_mm512_and_si512(a.v, _mm512_set1_epi32(int(0xffff0000u))))};
}

inline Floats as_floats(Bytes64 a) { return {_mm512_castsi512_ps(a.v)}; }
/// 16 floats rounded to bf16, to nearest even.
inline void store_bf16(std::uint16_t* p, Floats a) {
#if defined(__AVX512BF16__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), __m256i(_mm512_cvtneps_pbh(a.v)));
#else
  __m512i const bits = _mm512_castps_si512(a.v);
  __m512i const odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  __m512i const rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
#endif
}

inline float reduce_max(Floats a) { return _mm512_reduce_max_ps(a.v); }
/// The greatest lanes of four vectors: result[4 i + r] = reduce_max(row r) for every i.
inline Floats four_maxima(Floats a, Floats b, Floats c, Floats d) {
  __m512 const ab = _mm512_max_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v));
  __m512 const cd = _mm512_max_ps(_mm512_unpacklo_ps(c.v, d.v), _mm512_unpackhi_ps(c.v, d.v));
  __m512d const low = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  __m512d const high = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
  __m512 const quarters = _mm512_max_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
  __m512 const halves = _mm512_max_ps(quarters, _mm512_shuffle_f32x4(quarters, quarters, 0x4e));
  return {_mm512_max_ps(halves, _mm512_shuffle_f32x4(halves, halves, 0xb1))};
}
/// Lane r = reduce_max(rows[r]); the lanes behind the last row are scrap.
template <int Rows>
inline Floats row_maxima(Floats const (&rows)[Rows]) {
  static_assert(Rows <= 8);
  auto const at = [&](int r) { return rows[r < Rows ? r : Rows - 1]; };
  Floats const first = four_maxima(at(0), at(1), at(2), at(3));
  if constexpr (Rows <= 4) return first;
  return {_mm512_mask_mov_ps(first.v, 0xf0, four_maxima(at(4), at(5), at(6), at(7)).v)};
}

/// 16 floats rounded to int8 (already in [-127, 127]), to nearest even.
inline void store_int8(std::int8_t* p, Floats a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a.v)));
}
inline Ints add_ints(Ints a, Ints b) { return {_mm512_add_epi32(a.v, b.v)}; }
/// -Power * a, Power a power of two.
template <int Power>
inline Ints times_minus_power(Ints a) {
  return {_mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(a.v, __builtin_ctz(unsigned(Power))))};
}
inline Bytes64 all_ones() { return {_mm512_set1_epi8(1)}; }
inline Ints to_ints(Floats a) { return {_mm512_cvtps_epi32(a.v)}; }
inline std::int32_t reduce_add_ints(Ints a) { return _mm512_reduce_add_epi32(a.v); }

#if defined(__AVX512VNNI__)
/// acc[i] + sum over j < 4 of w[4i + j] (unsigned, any value) * x[j] (signed). `NarrowCodes`: every w is below 16.
template <bool NarrowCodes>
inline Ints dot4(Ints acc, Bytes64 w, void const* x) {
  return {_mm512_dpbusd_epi32(acc.v, w.v, _mm512_set1_epi32(*static_cast<std::int32_t const*>(x)))};
}
#else
#error "the AVX-512 levels need VNNI"
#endif

#else  // AVX2

struct Floats {
  __m256 a, b;
};
struct Ints {
  __m256i a, b;
};
struct Bytes64 {
  __m256i a, b;
};

inline Floats zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline Floats broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Floats load(float const* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, Floats x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
inline Floats add(Floats x, Floats y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline Floats sub(Floats x, Floats y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline Floats mul(Floats x, Floats y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline Floats div(Floats x, Floats y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline Floats fma(Floats x, Floats y, Floats z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline Floats max(Floats x, Floats y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
inline Floats min(Floats x, Floats y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline Floats round_even(Floats x) {
  constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.a, mode), _mm256_round_ps(x.b, mode)};
}
inline Floats magnitude(Floats x) {
  __m256 const sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
inline Floats where_at_least(Floats a, Floats b, Floats x) {
  return {_mm256_and_ps(_mm256_cmp_ps(a.a, b.a, _CMP_GE_OQ), x.a),
          _mm256_and_ps(_mm256_cmp_ps(a.b, b.b, _CMP_GE_OQ), x.b)};
}
inline __m256 keep_eight(__m256 x, int first, int end, __m256 other) {
  __m256i const lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i const out = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(first), lane),
                                      _mm256_cmpgt_epi32(lane, _mm256_set1_epi32(end - 1)));
  return _mm256_blendv_ps(x, other, _mm256_castsi256_ps(out));
}
inline Floats keep_lanes(Floats x, int first, int end, Floats other) {
  return {keep_eight(x.a, first, end, other.a), keep_eight(x.b, first - 8, end - 8, other.b)};
}
inline __m256 scale_eight(__m256 x, __m256 n) {
  __m256i const bits = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(x, _mm256_castsi256_ps(bits));
}
inline Floats scale_by_power(Floats x, Floats n) { return {scale_eight(x.a, n.a), scale_eight(x.b, n.b)}; }
inline Ints broadcast_int(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline Floats to_floats(Ints x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
inline Floats load_half(std::uint16_t const* p) {
  auto const* q = reinterpret_cast<__m128i const*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}
inline Bytes64 load_bytes(void const* p) {
  auto const* q = static_cast<__m256i const*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
inline Bytes64 low_nibbles(Bytes64 x) {
  __m256i const mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(x.a, mask), _mm256_and_si256(x.b, mask)};
}
inline Bytes64 high_nibbles(Bytes64 x) { return low_nibbles({_mm256_srli_epi16(x.a, 4), _mm256_srli_epi16(x.b, 4)}); }
inline Floats even_bf16(Bytes64 x) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(x.a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(x.b, 16))};
}
inline Floats odd_bf16(Bytes64 x) {
  __m256i const mask = _mm256_set1_epi32(int(0xffff0000u));
  return {_mm256_castsi256_ps(_mm256_and_si256(x.a, mask)), _mm256_castsi256_ps(_mm256_and_si256(x.b, mask))};
}

inline Floats as_floats(Bytes64 x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
inline __m256i round_eight_to_bf16(__m256 x) {
  __m256i const bits = _mm256_castps_si256(x);
  __m256i const odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
}
inline void store_bf16(std::uint16_t* p, Floats x) {
  __m256i const words = _mm256_packus_epi32(round_eight_to_bf16(x.a), round_eight_to_bf16(x.b));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(words, 0xd8));
}

inline float reduce_max(Floats x) {
  __m256 const m = _mm256_max_ps(x.a, x.b);
  __m128 h = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
  h = _mm_max_ps(h, _mm_movehl_ps(h, h));
  return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
}

template <int Rows>
inline Floats row_maxima(Floats const (&rows)[Rows]) {
  static_assert(Rows == 1);
  return broadcast(reduce_max(rows[0]));
}

inline Ints to_ints(Floats x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
inline void store_int8(std::int8_t* p, Floats x) {
  Ints const i = to_ints(x);
  __m256i const words = _mm256_permute4x64_epi64(_mm256_packs_epi32(i.a, i.b), 0xd8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}
inline Ints add_ints(Ints x, Ints y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
template <int Power>
inline Ints times_minus_power(Ints x) {
  constexpr int bits = __builtin_ctz(unsigned(Power));
  __m256i const none = _mm256_setzero_si256();
  return {_mm256_sub_epi32(none, _mm256_slli_epi32(x.a, bits)), _mm256_sub_epi32(none, _mm256_slli_epi32(x.b, bits))};
}
inline Bytes64 all_ones() { return {_mm256_set1_epi8(1), _mm256_set1_epi8(1)}; }
inline std::int32_t reduce_add_ints(Ints x) {
  __m256i const s = _mm256_add_epi32(x.a, x.b);
  __m128i h = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
  h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(h, _mm_shuffle_epi32(h, 0xb1)));
}

/// A code below 16 times an int8 cannot saturate in pairs; a wide one is split into its two halves.
template <bool NarrowCodes>
inline __m256i dot4_eight(__m256i acc, __m256i w, __m256i x) {
  __m256i const mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  __m256i const low = NarrowCodes ? w : _mm256_and_si256(w, mask);
  acc = _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(low, x), ones));
  if constexpr (!NarrowCodes) {
    __m256i const high = _mm256_and_si256(_mm256_srli_epi16(w, 4), mask);
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(high, x), _mm256_set1_epi16(16)));
  }
  return acc;
}
template <bool NarrowCodes>
inline Ints dot4(Ints acc, Bytes64 w, void const* x) {
  __m256i const values = _mm256_set1_epi32(*static_cast<std::int32_t const*>(x));
  return {dot4_eight<NarrowCodes>(acc.a, w.a, values), dot4_eight<NarrowCodes>(acc.b, w.b, values)};
}

#endif

/// Lanes added in the order ((0+8)+(4+12)) + …: halves, quarters, pairs. The same tree on every level.
inline float reduce_add(Floats x) {
  alignas(64) float lane[lanes];
  store(lane, x);
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
  return lane[0];
}

/// acc[i] + x[2i] w[2i] + x[2i+1] w[2i+1] for 16 pairs of bf16 weights and one broadcast pair of activations.
#if defined(__AVX512BF16__)
inline Floats dot2_bf16(Floats acc, Bytes64 w, void const* x) {
  return {_mm512_dpbf16_ps(acc.v, __m512bh(w.v), __m512bh(_mm512_set1_epi32(*static_cast<std::int32_t const*>(x))))};
}
#else
inline Floats dot2_bf16(Floats acc, Bytes64 w, void const* x) {
  std::uint32_t const pair = *static_cast<std::uint32_t const*>(x);
  Floats const even = broadcast(__builtin_bit_cast(float, pair << 16));
  Floats const odd = broadcast(__builtin_bit_cast(float, pair & 0xffff0000u));
  return fma(odd, odd_bf16(w), fma(even, even_bf16(w), acc));
}
#endif

/// 2^x for x <= 127; exactly 1 at 0; 0 below -126 (also for -infinity). Relative error < 2e-7.
/// Polynomial: minimax of 2^f on [-1/2, 1/2], degree 6.
inline Floats exp2(Floats x) {
  Floats const least = broadcast(-126.0f);
  Floats const clamped = max(x, least);
  Floats const n = round_even(clamped);
  Floats const f = sub(clamped, n);
  Floats p = broadcast(1.5353362e-4f);
  p = fma(p, f, broadcast(1.3398874e-3f));
  p = fma(p, f, broadcast(9.6184373e-3f));
  p = fma(p, f, broadcast(5.5503324e-2f));
  p = fma(p, f, broadcast(2.4022648e-1f));
  p = fma(p, f, broadcast(6.9314720e-1f));
  p = fma(p, f, broadcast(1.0f));
  return where_at_least(x, least, scale_by_power(p, n));
}

constexpr float log2_of_e = 1.44269504f;

/// e^x for x in [-87, 88] with relative error < 1e-6; 0 below -87.4, e^88 above 88.
inline Floats exp(Floats unclamped) {
  Floats const x = min(max(unclamped, broadcast(-100.0f)), broadcast(88.0f));
  Floats const high = mul(x, broadcast(log2_of_e));
  Floats const low = fma(x, broadcast(log2_of_e), sub(zero(), high));
  Floats const power = exp2(high);
  return fma(power, mul(low, broadcast(0.69314718f)), power);
}

}  // namespace windlass::x86::WINDLASS_LEVEL
