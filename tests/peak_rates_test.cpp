#include "kernels/peak_rates.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace windlass {
namespace {

TEST(PeakRates, BufferGivesEveryThreadAnEqualAlignedPart) {
  ThreadTeam team({.threads = 3});

  LimitBuffer const buffer(10'000, team);

  EXPECT_GE(buffer.bytes(), 10'000u);
  EXPECT_EQ(buffer.part_bytes() % 512, 0u);
  EXPECT_EQ(buffer.bytes(), 3 * buffer.part_bytes());
  EXPECT_EQ(buffer.part(2) - buffer.part(0), std::ptrdiff_t(2 * buffer.part_bytes()));
}

TEST(PeakRates, ReadRateIsAPositiveSpread) {
  ThreadTeam team({.threads = 2});

  MeasuredRate const rate = measure_read(LimitBuffer(1 << 20, team), team);

  EXPECT_GT(rate.min, 0);
  EXPECT_LE(rate.min, rate.median);
  EXPECT_LE(rate.median, rate.max);
}

TEST(PeakRates, BestRateIsTheFastestInstructionOfTheType) {
  std::vector<ArithmeticLimit> const limits = {
      {"int8", "avx2", {1, 2, 3}}, {"int8", "avx512-vnni", {4, 5, 6}}, {"fp32", "avx512", {7, 8, 9}}};

  EXPECT_EQ(best_rate(limits, "int8"), 5);
  EXPECT_EQ(best_rate(limits, "fp32"), 8);
  EXPECT_EQ(best_rate(limits, "bf16"), 0);
}

}  // namespace
}  // namespace windlass
