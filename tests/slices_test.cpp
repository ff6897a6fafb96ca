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

/// Leaves of the tree that the sums of several owners give.
std::vector<int> tree_of(std::vector<SliceRange> const& subtrees, int count) {
  std::vector<std::vector<SliceRange>> stack;
  for (SliceRange const& subtree : subtrees) {
    stack.push_back({subtree});
    for (int merges = merges_after(subtree, count); merges > 0; --merges) {
      auto const right = stack.back();
      stack.pop_back();
      EXPECT_EQ(stack.back().back().end, right.front().begin);
      stack.back().insert(stack.back().end(), right.begin(), right.end());
    }
  }
  std::vector<int> depths;
  for (auto const& sum : stack) depths.push_back(int(sum.size()));
  return depths;
}

TEST(Slices, SubtreesOfSeveralOwnersMergeIntoTheOneTree) {
  EXPECT_EQ(subtrees_of({3, 9}, 9), (std::vector<SliceRange>{{3, 4}, {4, 8}, {8, 9}}));
  for (int count = 1; count <= 20; ++count)
    for (int first = 0; first <= count; ++first)
      for (int second = first; second <= count; ++second) {
        std::vector<SliceRange> all;
        for (SliceRange const& owner : {SliceRange{0, first}, SliceRange{first, second}, SliceRange{second, count}})
          for (SliceRange const& subtree : subtrees_of(owner, count)) all.push_back(subtree);
        EXPECT_EQ(tree_of(all, count), (std::vector{int(all.size())})) << count << " " << first << " " << second;
      }
}

TEST(Slices, APartStartsWhereItsOwnerStarts) {
  Slices const part = part_of(Slices::even(20, 8), {3, 5}, 2);  // borders 6, 9, 12, 14

  EXPECT_EQ(part.count, 2);
  EXPECT_EQ(part.borders[0], 3);
  EXPECT_EQ(part.borders[1], 6);
  EXPECT_EQ(part.borders[2], 8);
}

}  // namespace
}  // namespace windlass
