/// Our own exp: the same bits with every C library and instruction set, and loops over it become vector code.
#pragma once

#include <bit>
#include <cstdint>

namespace windlass {

constexpr float never_drawn_below = -80;  ///< decaying_exp is 0 there

/// exp(z) for z <= 0, relative error below 3e-7; 0 for z < never_drawn_below (and -infinity).
/// z = n log 2 + r with |r| <= log(2) / 2; exp(r) by its Taylor series to r^7.
constexpr float decaying_exp(float z) {
  float const clamped = z < never_drawn_below ? never_drawn_below : z;
  float const shifted = clamped * 1.44269504f + 12582912.0f;  // rounds to an integer: 2^23 + 2^22 leaves no fraction
  float const n = shifted - 12582912.0f;
  float const r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;  // log 2 in two parts, the first exact in 9 bits
  float const series =
      1 + r * (1 + r * (1 / 2.f + r * (1 / 6.f + r * (1 / 24.f + r * (1 / 120.f + r * (1 / 720.f + r / 5040.f))))));
  std::uint32_t const exponent = (std::bit_cast<std::uint32_t>(shifted) - 0x4b400000u + 127u) << 23;
  return z < never_drawn_below ? 0 : series * std::bit_cast<float>(exponent);
}

}  // namespace windlass
