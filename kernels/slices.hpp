/// The canonical order of sums of a matrix product (design: "The canonical order of sums").
///
/// K is cut into slices whose number and borders follow from the model's shape alone. Each slice is summed in ascending
/// k into one float32 partial per output; the partials are added in one fixed tree: leaves in slice order, and subtree
/// (level, i) covers slices [i * 2^level, (i + 1) * 2^level) cut at the number of slices. A binary counter walks it:
/// after leaf i, as many merges as i has trailing one bits; at the end the remaining subtrees, right to left.
#pragma once

#include <array>
#include <bit>
#include <span>
#include <vector>

namespace windlass {

constexpr int group_size = 32;  ///< K is handled in groups of 32 everywhere: quantisation, padding, slice borders
constexpr int max_slices = 64;
constexpr int max_slice_levels = 7;  ///< partials alive at once while the tree is walked: log2(max_slices) + 1

/// Borders of the slices in groups, ascending. Of a whole product borders[0] = 0 and borders[count] = groups of K; a
/// part of one may start and end anywhere.
struct Slices {
  int count = 1;
  std::array<int, max_slices + 1> borders{};

  static Slices whole(int groups);
  /// `count` slices as equal as can be: the first (groups % count) ones are one group longer. 1 <= count <= groups.
  static Slices even(int groups, int count);
  bool operator==(Slices const&) const = default;
};

/// How many merges follow leaf `slice` of `count`.
constexpr int merges_after(int slice, int count) {
  int const full = std::countr_one(unsigned(slice));
  return slice + 1 < count ? full : std::popcount(unsigned(slice));
}

/// Slices [begin, end).
struct SliceRange {
  int begin = 0, end = 0;
  int size() const { return end - begin; }
  bool operator==(SliceRange const&) const = default;
};

/// The largest subtrees that make up slices [begin, end) of a tree of `count`, in ascending order.
std::vector<SliceRange> subtrees_of(SliceRange range, int count);

/// How many merges of whole subtrees follow `subtree` of a tree of `count`.
int merges_after(SliceRange subtree, int count);

/// The borders of slices [range.begin, range.end) alone, counted from the start of slice `origin`.
Slices part_of(Slices const& slices, SliceRange range, int origin);

}  // namespace windlass
