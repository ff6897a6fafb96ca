#include "kernels/float_formats.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace windlass {
namespace {

TEST(FloatFormats, EveryHalfSurvivesTheWayThroughFloat) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    float const value = half_to_float(std::uint16_t(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(float_to_half(value), bits);
    ASSERT_EQ(value, float(std::bit_cast<_Float16>(std::uint16_t(bits))));
  }
}

TEST(FloatFormats, RoundsToNearestEven) {
  for (unsigned i = 0; i < 4'000'000; ++i) {
    float const value = std::bit_cast<float>(i * 1073u);
    if (std::isnan(value)) continue;
    ASSERT_EQ(float_to_half(value), std::bit_cast<std::uint16_t>(_Float16(value))) << value;
  }
  EXPECT_EQ(float_to_bf16(1.00390625f), 0x3f80);  // a tie: to the even neighbour below
  EXPECT_EQ(float_to_bf16(1.01171875f), 0x3f82);  // a tie: to the even neighbour above
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace windlass
