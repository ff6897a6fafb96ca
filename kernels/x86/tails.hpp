/// Loads and stores of the last vector of a row whose length is no multiple of 16: rows lie back to back, so nothing
/// beyond the end may be touched.
#pragma once

#include <cstddef>
#include <cstring>

#include "kernels/x86/simd.hpp"

namespace windlass::x86::WINDLASS_LEVEL {

#if defined(__AVX512F__)
inline __mmask16 first_lanes(std::int64_t count) { return __mmask16(count <= 0 ? 0 : (1u << count) - 1); }
#endif

/// The first min(count, 16) floats, none where count <= 0; 0 in the other lanes.
inline Floats load_first(float const* p, std::int64_t count) {
  if (count >= lanes) return load(p);
#if defined(__AVX512F__)
  return {_mm512_maskz_loadu_ps(first_lanes(count), p)};
#else
  alignas(64) float row[lanes] = {};
  if (count > 0) std::memcpy(row, p, sizeof(float) * std::size_t(count));
  return load(row);
#endif
}

/// The first min(count, 16) groups of 4 bytes; 0 in the others.
inline Bytes64 load_bytes_first(std::byte const* p, std::int64_t count) {
  if (count >= lanes) return load_bytes(p);
  alignas(64) std::byte row[lanes * 4] = {};
  std::memcpy(row, p, 4 * std::size_t(count));
  return load_bytes(row);
}

inline void store_first(float* p, Floats x, std::int64_t count) {
  if (count >= lanes) return store(p, x);
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, first_lanes(count), x.v);
#else
  alignas(64) float row[lanes];
  store(row, x);
  std::memcpy(p, row, sizeof(float) * std::size_t(count));
#endif
}

inline void store_bf16_first(std::uint16_t* p, Floats x, std::int64_t count) {
  if (count >= lanes) return store_bf16(p, x);
  alignas(64) std::uint16_t row[lanes];
  store_bf16(row, x);
  std::memcpy(p, row, sizeof(std::uint16_t) * std::size_t(count));
}

}  // namespace windlass::x86::WINDLASS_LEVEL
