#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/moe.hpp"

namespace windlass {

void reference::route_experts(RouteExperts const& op, Queue const&) {
  std::vector<int> order(static_cast<std::size_t>(op.num_experts));
  for (int token = 0; token < op.tokens; ++token) {
    float const* logits = op.logits + token * op.stride;  // [num_experts]
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[a] > logits[b]; });
    int const summed = op.normalization == RouterNormalization::softmax_all ? op.num_experts : op.chosen;
    auto const share = [&](int i) {
      return std::exp(double(logits[order[std::size_t(i)]]) - double(logits[order[0]]));
    };
    double sum = 0;
    for (int i = 0; i < summed; ++i) sum += share(i);
    for (int i = 0; i < op.chosen; ++i) {
      op.experts[token * op.chosen + i] = order[std::size_t(i)];
      op.weights[token * op.chosen + i] = float(share(i) / sum);
    }
  }
}

}  // namespace windlass
