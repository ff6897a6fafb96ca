/// Adding up the partial products of the ranks of an instance.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/accumulate.hpp"
#include "kernels/queue.hpp"

namespace windlass {

/// y[t, n] (+)= bias[n] + the tree of partials[root][t, n].
///
/// The partials are subtrees of the tree of kernels/slices.hpp, in ascending order, together all of it (subtrees_of);
/// after each one, as many merges of the two last sums as `merges` says. So the bits are those of one product over all
/// of K (kernels/matmul.hpp): the tree's sum; then + bias; then, with add_to_y, y + that.
struct SumPartials {
  float* y = nullptr;  ///< [tokens, y_stride]
  std::int64_t y_stride = 0;
  std::span<float const* const> partials;  ///< [roots], each [tokens, stride]; none of them overlaps y
  std::span<int const> merges;             ///< [roots]
  std::int64_t stride = 0;
  float const* bias = nullptr;  ///< [width], or null
  int tokens = 0;               ///< 0 is legal
  int width = 0;
  Accumulate accumulate = Accumulate::store;
};
/// One float32 addition per merge, bias and y, so every backend gives these bits.
namespace reference {
void sum_partials(SumPartials const& op, Queue const& queue);
}

}  // namespace windlass
