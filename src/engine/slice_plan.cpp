#include "src/engine/slice_plan.hpp"

#include <algorithm>

namespace windlass {

SlicePlan make_slice_plan(Slices const& slices, std::span<SliceRange const> owners, int rank) {
  SlicePlan plan{.slices = slices, .own = owners[std::size_t(rank)]};
  for (std::size_t owner = 0; owner < owners.size(); ++owner) {
    auto const subtrees = subtrees_of(owners[owner], slices.count);
    plan.roots_of_rank.push_back(int(subtrees.size()));
    plan.most_roots = std::max(plan.most_roots, int(subtrees.size()));
    for (std::size_t i = 0; i < subtrees.size(); ++i) {
      plan.roots.push_back({.rank = int(owner), .index = int(i), .slices = subtrees[i]});
      plan.merges.push_back(merges_after(subtrees[i], slices.count));
    }
  }
  return plan;
}

}  // namespace windlass
