/// Functions of one number, the same bits on every device and in the emulation; and sums over threads.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/cuda/thread.hpp"
#include "kernels/float_formats.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {

constexpr float log2_e = 1.44269504f;

/// exp(r) for |r| <= log(2) / 2, by its Taylor series to r^7; relative error below 2e-8.
WINDLASS_DEVICE float small_exponential(float r) {
  float series = fmaf(1 / 5040.0f, r, 1 / 720.0f);
  series = fmaf(series, r, 1 / 120.0f);
  series = fmaf(series, r, 1 / 24.0f);
  series = fmaf(series, r, 1 / 6.0f);
  series = fmaf(series, r, 0.5f);
  series = fmaf(series, r, 1.0f);
  return fmaf(series, r, 1.0f);
}

/// value * 2^n for -126 <= n <= 128.
WINDLASS_DEVICE float scaled(float value, float n) {
  return value * std::bit_cast<float>(std::uint32_t(int(n) + 126) << 23) * 2;
}

/// exp(z), relative error below 2e-7; 0 for z < -86, infinity for z > 88.7; a NaN stays one.
WINDLASS_DEVICE float exponential(float z) {
  if (z != z) return z;
  if (z < -86.0f) return 0;
  if (z > 88.7f) return INFINITY;
  float const n = nearbyintf(z * log2_e);
  float const r = fmaf(n, 2.12194440e-4f, fmaf(n, -0.693359375f, z));
  return scaled(small_exponential(r), n);
}

/// 2^z for z <= 0; 0 for z < -124, also for -infinity; a NaN stays one.
WINDLASS_DEVICE float power_of_two(float z) {
  if (z != z) return z;
  if (z < -124.0f) return 0;
  float const n = nearbyintf(z);
  return scaled(small_exponential((z - n) * 0.693147181f), n);
}

/// 1 - 2 / (exp(2 z) + 1); absolute error below 3e-7.
WINDLASS_DEVICE float hyperbolic_tangent(float z) { return 1 - 2 / (exponential(2 * z) + 1); }

WINDLASS_DEVICE float half_value(std::uint16_t bits) {
#if defined(WINDLASS_CUDA_EMULATED)
  return half_to_float(bits);
#else
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
#endif
}

/// Two values as one word of bf16, the first one low.
WINDLASS_DEVICE std::uint32_t bf16_pair(float low, float high) {
#if defined(WINDLASS_CUDA_EMULATED)
  return std::uint32_t(float_to_bf16(low)) | std::uint32_t(float_to_bf16(high)) << 16;
#else
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#endif
}

WINDLASS_DEVICE float largest_of(float a, float b) { return b > a ? b : a; }

/// In one order for all lanes: pairs 16 apart, then 8, 4, 2, 1.
template <class T>
WINDLASS_DEVICE T sum_of_warp(Thread const& thread, T value) {
  for (int mask = 16; mask > 0; mask /= 2) value += thread.shuffle_xor(value, mask);
  return value;
}

WINDLASS_DEVICE float largest_of_warp(Thread const& thread, float value) {
  for (int mask = 16; mask > 0; mask /= 2) value = largest_of(value, thread.shuffle_xor(value, mask));
  return value;
}

/// Sums of warps in ascending order, the same in all threads. `scratch`: a T per warp, free for this.
template <class T>
WINDLASS_DEVICE T sum_of_block(Thread const& thread, T value, T* scratch) {
  T const own = sum_of_warp(thread, value);
  if (thread.lane() == 0) scratch[thread.warp()] = own;
  thread.sync();
  T sum = 0;
  for (int warp = 0; warp < thread.count() / 32; ++warp) sum += scratch[warp];
  thread.sync();
  return sum;
}

WINDLASS_DEVICE float largest_of_block(Thread const& thread, float value, float* scratch) {
  float const own = largest_of_warp(thread, value);
  if (thread.lane() == 0) scratch[thread.warp()] = own;
  thread.sync();
  float largest = scratch[0];
  for (int warp = 1; warp < thread.count() / 32; ++warp) largest = largest_of(largest, scratch[warp]);
  thread.sync();
  return largest;
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
