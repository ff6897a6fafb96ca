#include <cmath>

#include "kernels/moe.hpp"

namespace windlass::reference {

void combine_expert(CombineExpert const& op, Queue const&) {
  for (int i = 0; i < op.count; ++i) {
    float const* const x = op.x + i * op.x_stride;
    float* const y = op.y + op.rows[i] * op.y_stride;
    for (int k = 0; k < op.width; ++k) y[k] = std::fma(op.weights[i], x[k], y[k]);
  }
}

}  // namespace windlass::reference
