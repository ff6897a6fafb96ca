/// Products on tensor cores: one warp multiplies a 16 x K by a K x 8 matrix and adds to a 16 x 8 one.
///
/// Lane l holds, with g = l / 4 and q = l % 4 (PTX ISA, "Matrix Fragments for mma.m16n8k..."):
/// - sums: (row g, columns 2q, 2q + 1), then (row g + 8, the same columns);
/// - left, words of 32 bits along K: row g word q, row g + 8 word q, then the same rows of word q + 4;
/// - right: column g, word q, then word q + 4.
/// A word is two bf16 or four bytes, the lowest K first.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/thread.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {

enum class Sign { none, both };  ///< of the left bytes; the right ones are signed

#if !defined(WINDLASS_CUDA_EMULATED)

/// K = 16, bf16 in, float32 sums.
WINDLASS_DEVICE void multiply_bf16(Thread const&, float (&sums)[4], std::uint32_t const (&left)[4],
                                   std::uint32_t const (&right)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
}

/// K = 16 bytes: word q alone of each row and column; exact.
template <Sign sign>
WINDLASS_DEVICE void multiply_bytes_16(Thread const&, int (&sums)[4], std::uint32_t const (&left)[2],
                                       std::uint32_t right) {
  if constexpr (sign == Sign::both)
    asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(right));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(right));
}

/// K = 32 bytes; exact.
template <Sign sign>
WINDLASS_DEVICE void multiply_bytes_32(Thread const&, int (&sums)[4], std::uint32_t const (&left)[4],
                                       std::uint32_t const (&right)[2]) {
  if constexpr (sign == Sign::both)
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
  else
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
}

#else

/// What one lane gives to a product.
struct Fragment {
  std::uint32_t left[4], right[2];
};

/// Calls add(sum, left word, right word) for all words of K of each of the lane's four sums, K ascending.
template <class Sum, class Add>
void for_each_word(Thread const& thread, Fragment const& own, int words, Sum (&sums)[4], Add const& add) {
  ShownByWarp const shown = thread.show_to_warp(&own, sizeof own);
  for (int i = 0; i < 4; ++i) {
    int const row = thread.lane() / 4 + i / 2 * 8, column = thread.lane() % 4 * 2 + i % 2;
    for (int word = 0; word < words; ++word) {
      auto const& left = *static_cast<Fragment const*>(shown.of_lane(row % 8 * 4 + word % 4));
      auto const& right = *static_cast<Fragment const*>(shown.of_lane(column * 4 + word % 4));
      add(sums[i], left.left[row / 8 + word / 4 * 2], right.right[word / 4]);
    }
  }
}

inline float bf16_half(std::uint32_t word, int half) {
  return std::bit_cast<float>(half == 0 ? word << 16 : word & 0xffff0000u);
}

inline void multiply_bf16(Thread const& thread, float (&sums)[4], std::uint32_t const (&left)[4],
                          std::uint32_t const (&right)[2]) {
  Fragment const own{{left[0], left[1], left[2], left[3]}, {right[0], right[1]}};
  for_each_word(thread, own, 8, sums, [](float& sum, std::uint32_t a, std::uint32_t b) {
    for (int half = 0; half < 2; ++half) sum = std::fma(bf16_half(a, half), bf16_half(b, half), sum);
  });
}

template <Sign sign>
void add_bytes(int& sum, std::uint32_t a, std::uint32_t b) {
  for (int shift = 0; shift < 32; shift += 8) {
    int const left = sign == Sign::both ? int(std::int8_t(a >> shift)) : int(std::uint8_t(a >> shift));
    sum += left * int(std::int8_t(b >> shift));
  }
}

template <Sign sign>
void multiply_bytes_16(Thread const& thread, int (&sums)[4], std::uint32_t const (&left)[2], std::uint32_t right) {
  for_each_word(thread, {{left[0], left[1], 0, 0}, {right, 0}}, 4, sums, add_bytes<sign>);
}

template <Sign sign>
void multiply_bytes_32(Thread const& thread, int (&sums)[4], std::uint32_t const (&left)[4],
                       std::uint32_t const (&right)[2]) {
  Fragment const own{{left[0], left[1], left[2], left[3]}, {right[0], right[1]}};
  for_each_word(thread, own, 8, sums, add_bytes<sign>);
}

#endif

}  // namespace windlass::WINDLASS_CUDA_SPACE
