/// How the K slices of a row-parallel product lie on the ranks of an instance.
#pragma once

#include <span>
#include <vector>

#include "kernels/slices.hpp"

namespace windlass {

/// Each rank sums the largest subtrees that lie inside of its slices; the sums of all ranks in ascending order, with
/// `merges`, give the whole tree (kernels/sum_partials.hpp).
struct SlicePlan {
  struct Root {
    int rank = 0, index = 0;  ///< whose, and the how manyth of it
    SliceRange slices;
  };
  Slices slices;  ///< of the whole product
  SliceRange own;
  std::vector<Root> roots;         ///< ascending
  std::vector<int> merges;         ///< [roots] after each one
  std::vector<int> roots_of_rank;  ///< [ranks] how many
  int most_roots = 1;              ///< of one rank
};

/// `owners`: [ranks] ascending, together all slices. `rank`: this one.
SlicePlan make_slice_plan(Slices const& slices, std::span<SliceRange const> owners, int rank);

}  // namespace windlass
