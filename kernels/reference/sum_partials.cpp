#include "kernels/sum_partials.hpp"

#include <array>

#include "kernels/slices.hpp"

namespace windlass {

void reference::sum_partials(SumPartials const& op, Queue const&) {
  for (int token = 0; token < op.tokens; ++token)
    for (int n = 0; n < op.width; ++n) {
      std::array<float, max_slice_levels> sums{};
      std::size_t depth = 0;
      for (std::size_t root = 0; root < op.partials.size(); ++root) {
        sums[depth++] = op.partials[root][token * op.stride + n];
        for (int merges = op.merges[root]; merges > 0; --merges, --depth) sums[depth - 2] += sums[depth - 1];
      }
      float const sum = op.bias ? sums[0] + op.bias[n] : sums[0];
      float& y = op.y[token * op.y_stride + n];
      y = op.accumulate == Accumulate::add_to_y ? y + sum : sum;
    }
}

}  // namespace windlass
