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

template <class Visit>
void for_each_vector(Weights const& weights, Visit const& visit) {
  visit(weights.final_norm);
  for (LayerWeights const& layer : weights.layers)
    for (std::vector<float> const* values :
         {&layer.attention_norm, &layer.post_attention_norm, &layer.ffn_norm, &layer.post_ffn_norm, &layer.q_norm,
          &layer.k_norm, &layer.qkv_bias, &layer.output_bias})
      visit(*values);
}

/// Sixteen pieces, spread evenly, and the shape and format.
Hash128 hash_matrix(PackedMatrix const& matrix, Hash128 seed) {
  constexpr std::size_t pieces = 16, piece_bytes = 256;
  std::int64_t const facts[] = {std::int64_t(matrix.format), std::int64_t(matrix.scale_type), matrix.scale_group,
                                matrix.rows, matrix.columns};
  Hash128 hash = hash_bytes(std::as_bytes(std::span(facts)), seed);
  std::size_t const size = matrix.bytes.size();
  for (std::size_t i = 0; i < pieces && size > 0; ++i) {
    std::size_t const begin = size / pieces * i;
    hash = hash_bytes(matrix.bytes.subspan(begin, std::min(piece_bytes, size - begin)), hash);
  }
  return hash;
}

}  // namespace

std::size_t Weights::size_bytes() const {
  std::set<std::byte const*> counted;
  std::size_t sum = 0;
  for_each_matrix(*this, [&](PackedMatrix const& matrix) {
    if (counted.insert(matrix.bytes.data()).second) sum += matrix.bytes.size();
  });
  return sum;
}

Hash128 Weights::sample_hash(Hash128 seed) const {
  for_each_matrix(*this, [&](PackedMatrix const& matrix) { seed = hash_matrix(matrix, seed); });
  for_each_vector(*this,
                  [&](std::vector<float> const& values) { seed = hash_bytes(std::as_bytes(std::span(values)), seed); });
  return seed;
}

}  // namespace windlass
