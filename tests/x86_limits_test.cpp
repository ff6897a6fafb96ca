#include <gtest/gtest.h>

#include <array>

#include "kernels/x86/limits.hpp"

namespace windlass {
namespace {

using x86::MultiplyAdd;

TEST(X86Limits, EveryLoopOfThisCpuEndsAndCountsItsOperations) {
  constexpr std::array<std::pair<MultiplyAdd, std::int64_t>, 8> operations_a_round = {{
      {MultiplyAdd::fp32_avx2, 12 * 8 * 2},
      {MultiplyAdd::fp32_avx512, 16 * 16 * 2},
      {MultiplyAdd::bf16_avx512, 16 * 32 * 2},
      {MultiplyAdd::int8_avx2, 6 * 32 * 2},
      {MultiplyAdd::int8_avx_vnni, 12 * 32 * 2},
      {MultiplyAdd::int8_avx512_vnni, 16 * 64 * 2},
      {MultiplyAdd::bf16_amx, 4 * 16 * 16 * 32 * 2},
      {MultiplyAdd::int8_amx, 4 * 16 * 16 * 64 * 2},
  }};
  for (auto const& [kind, operations] : operations_a_round) {
    if (x86::can_run(kind)) {
      EXPECT_EQ(x86::multiply_and_add(kind, 1000), 1000 * operations) << int(kind);
    }
  }
}

TEST(X86Limits, ReadSeesEveryWord) {
  alignas(64) std::array<std::uint64_t, 256> words{};
  for (std::size_t changed : {0u, 63u, 64u, 255u}) {
    words[changed] = 0x5a5a;
    EXPECT_EQ(x86::read_once(reinterpret_cast<std::byte const*>(words.data()), sizeof words), 0x5a5au) << changed;
    words[changed] = 0;
  }
}

}  // namespace
}  // namespace windlass
