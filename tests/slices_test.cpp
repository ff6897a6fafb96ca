#include "kernels/slices.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace windlass {
namespace {

TEST(Slices, CoverEveryGroupOnceWithTheLongOnesFirst) {
  Slices const slices = Slices::even(20, 8);

  std::vector<int> lengths;
  for (int i = 0; i < slices.count; ++i)
    lengths.push_back(slices.borders[std::size_t(i) + 1] - slices.borders[std::size_t(i)]);
  EXPECT_EQ(lengths, (std::vector{3, 3, 3, 3, 2, 2, 2, 2}));
}

TEST(Slices, TheCounterMergesEveryLeafIntoOneRootInOrder) {
  for (int count = 1; count <= max_slices; ++count) {
    std::vector<std::vector<int>> stack;
    for (int slice = 0; slice < count; ++slice) {
      stack.push_back({slice});
      for (int merges = merges_after(slice, count); merges > 0; --merges) {
        ASSERT_GE(stack.size(), 2u);
        auto const right = stack.back();
        stack.pop_back();
        stack.back().insert(stack.back().end(), right.begin(), right.end());
      }
      ASSERT_LE(stack.size(), std::size_t(max_slice_levels));
    }
    std::vector<int> expected(std::size_t(count), 0);
    std::iota(expected.begin(), expected.end(), 0);
    ASSERT_EQ(stack.size(), 1u);
    EXPECT_EQ(stack[0], expected);
  }
}

}  // namespace
}  // namespace windlass
