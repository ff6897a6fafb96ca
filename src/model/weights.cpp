#include "src/model/weights.hpp"

#include <set>

namespace windlass {
namespace {

/// Calls visit(matrix) for every matrix of the model, in a fixed order.
template <class Visit>
void for_each_matrix(Weights const& weights, Visit const& visit) {
  visit(weights.embedding);
  visit(weights.head);
  for (LayerWeights const& layer : weights.layers) {
    for (PackedMatrix const* matrix : {&layer.qkv, &layer.output, &layer.router}) visit(*matrix);
    for (FeedForward const* part : {&layer.dense, &layer.shared_expert}) {
      visit(part->gate_up);
      visit(part->down);
    }
    for (FeedForward const& expert : layer.experts) {
      visit(expert.gate_up);
      visit(expert.down);
    }
  }
}

}  // namespace

std::size_t Weights::size_bytes() const {
  std::set<std::byte const*> counted;
  std::size_t sum = 0;
  for_each_matrix(*this, [&](PackedMatrix const& matrix) {
    bool const is_there = matrix.bytes.data() != nullptr;  // a dedicated controller has none
    if (is_there && counted.insert(matrix.bytes.data()).second) sum += matrix.bytes.size();
  });
  return sum;
}

}  // namespace windlass
