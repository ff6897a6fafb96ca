/// A model's forward pass as plain as can be, in double: what a specification and its weights mean. For tests of the
/// loaders; it shares nothing with kernels/ but weight_at.
#pragma once

#include <vector>

#include "src/model/spec.hpp"
#include "src/model/weights.hpp"

namespace windlass {

/// Logits [vocab] after the last of `tokens`, with the rope that a context of `max_model_len` has.
std::vector<double> naive_last_logits(ModelSpec const& spec, Weights const& weights, std::vector<TokenId> const& tokens,
                                      int max_model_len);

}  // namespace windlass
