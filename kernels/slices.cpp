#include "kernels/slices.hpp"

#include <algorithm>

#include "src/core/error.hpp"

namespace windlass {

Slices Slices::whole(int groups) { return even(groups, 1); }

Slices Slices::even(int groups, int count) {
  ensure(count >= 1 && count <= max_slices && count <= groups, "a slice is at least one group of 32");
  Slices slices{.count = count};
  for (int i = 0; i < count; ++i)
    slices.borders[std::size_t(i) + 1] = slices.borders[std::size_t(i)] + groups / count + (i < groups % count ? 1 : 0);
  return slices;
}

std::vector<SliceRange> subtrees_of(SliceRange range, int count) {
  std::vector<SliceRange> subtrees;
  for (int at = range.begin; at < range.end; at = subtrees.back().end) {
    int size = 1;
    while (at % (2 * size) == 0 && size < count && std::min(at + 2 * size, count) <= range.end) size *= 2;
    subtrees.push_back({.begin = at, .end = std::min(at + size, count)});
  }
  return subtrees;
}

int merges_after(SliceRange subtree, int count) {
  int merges = 1 - subtree.size();  // those inside of it
  for (int slice = subtree.begin; slice < subtree.end; ++slice) merges += merges_after(slice, count);
  return merges;
}

Slices part_of(Slices const& slices, SliceRange range, int origin) {
  int const start = slices.borders[std::size_t(origin)];
  Slices part{.count = range.size()};
  for (int i = 0; i <= part.count; ++i)
    part.borders[std::size_t(i)] = slices.borders[std::size_t(range.begin + i)] - start;
  return part;
}

}  // namespace windlass
