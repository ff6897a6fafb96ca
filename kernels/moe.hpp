/// Mixture of experts: routing and combination. The experts' products are plain matrix products on gathered rows.
#pragma once

#include <cstdint>

#include "kernels/queue.hpp"

namespace windlass {

enum class RouterNormalization : std::uint8_t {
  softmax_all,     ///< weights are the softmax over all experts (Qwen3-MoE with norm_topk_prob false)
  softmax_chosen,  ///< weights are renormalised over the chosen ones (Mixtral; norm_topk_prob true)
};

/// For each row: the `chosen` experts with the largest router logits (ties: the lower id), in descending order of
/// logit, and their weights.
struct RouteExperts {
  int* experts = nullptr;         ///< [tokens, chosen]
  float* weights = nullptr;       ///< [tokens, chosen]
  float const* logits = nullptr;  ///< [tokens, stride]
  std::int64_t stride = 0;
  int tokens = 0;  ///< 0 is legal
  int num_experts = 0;
  int chosen = 0;
  RouterNormalization normalization = RouterNormalization::softmax_chosen;
};
namespace reference {
void route_experts(RouteExperts const& op, Queue const& queue);
}

}  // namespace windlass
