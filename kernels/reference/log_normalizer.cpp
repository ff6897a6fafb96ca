#include <algorithm>
#include <cmath>

#include "kernels/log_softmax.hpp"

namespace windlass {

void reference::log_normalizer(LogNormalizer const& op, Queue const&) {
  for (int row = 0; row < op.rows; ++row) {
    float* x = op.x + row * op.stride;  // [vocab]
    if (op.soft_cap > 0)
      for (int v = 0; v < op.vocab; ++v)
        x[v] = float(double(op.soft_cap) * std::tanh(double(x[v]) / double(op.soft_cap)));
    double const largest = double(*std::max_element(x, x + op.vocab));
    double sum = 0;
    for (int v = 0; v < op.vocab; ++v) sum += std::exp(double(x[v]) - largest);
    op.normalizer[row] = float(largest + std::log(sum));
  }
}

}  // namespace windlass
