#include "kernels/rms_norm.hpp"

#include <cmath>

namespace windlass {

void reference::rms_norm(RmsNorm const& op, Queue const&) {
  for (int token = 0; token < op.tokens; ++token) {
    float const* x = op.x + token * op.x_stride;  // [hidden]
    float* y = op.y + token * op.y_stride;        // [hidden]
    double square_sum = 0;
    for (int h = 0; h < op.hidden; ++h) square_sum += double(x[h]) * double(x[h]);
    double const root = std::sqrt(square_sum / op.hidden + double(op.eps));
    for (int h = 0; h < op.hidden; ++h) {
      double const before = op.accumulate == Accumulate::add_to_y ? double(y[h]) : 0;
      y[h] = float(before + double(x[h]) * double(op.weight[h]) / root);
    }
  }
}

}  // namespace windlass
