/// Our own exp and tanh, the same bits with every C library (bits are promised).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/kokkos/clones.hpp"

namespace windlass::kokkos {

/// exp(z), relative error below 2e-7; 0 for z < -86, infinity for z > 88.7.
/// z = n log 2 + r with |r| <= log(2) / 2, exp(r) by its Taylor series to r^7, 2^n in two factors.
WINDLASS_INLINED float exponential(float z) {
  float const low = z < -86.0f ? -86.0f : z;
  float const clamped = low > 88.7f ? 88.7f : low;
  float const shifted = clamped * 1.44269504f + 12582912.0f;  // rounds to an integer
  float const n = shifted - 12582912.0f;
  float const r = std::fma(n, 2.12194440e-4f, std::fma(n, -0.693359375f, clamped));
  float series = std::fma(1 / 5040.0f, r, 1 / 720.0f);
  series = std::fma(series, r, 1 / 120.0f);
  series = std::fma(series, r, 1 / 24.0f);
  series = std::fma(series, r, 1 / 6.0f);
  series = std::fma(series, r, 0.5f);
  series = std::fma(series, r, 1.0f);
  series = std::fma(series, r, 1.0f);
  std::uint32_t const exponent = (std::bit_cast<std::uint32_t>(shifted) - 0x4b400000u + 126u) << 23;
  float const value = series * std::bit_cast<float>(exponent) * 2;
  float const flushed = z < -86.0f ? 0 : value;
  return z > 88.7f ? INFINITY : flushed;
}

/// 1 - 2 / (exp(2 z) + 1); absolute error below 3e-7.
WINDLASS_INLINED float hyperbolic_tangent(float z) { return 1 - 2 / (exponential(2 * z) + 1); }

}  // namespace windlass::kokkos
