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

/// y[i, :] = x[rows[i], :]: the rows that one expert computes, or that need logits.
struct GatherRows {
  float* y = nullptr;        ///< [count, y_stride]
  float const* x = nullptr;  ///< [*, x_stride]
  std::int64_t y_stride = 0, x_stride = 0;
  int const* rows = nullptr;  ///< [count]
  int count = 0;              ///< 0 is legal
  int width = 0;
};
/// Exact.
namespace reference {
void gather_rows(GatherRows const& op, Queue const& queue);
}

/// y[rows[i], :] = fma(weights[i], x[i, :], y[rows[i], :]). Called expert by expert in ascending id, so a token's sum
/// has one order.
struct CombineExpert {
  float* y = nullptr;        ///< [*, y_stride]
  float const* x = nullptr;  ///< [count, x_stride], one expert's output
  std::int64_t y_stride = 0, x_stride = 0;
  int const* rows = nullptr;       ///< [count], no row twice
  float const* weights = nullptr;  ///< [count]
  int count = 0;                   ///< 0 is legal
  int width = 0;
};
/// One float32 fma per value, so every backend gives these bits.
namespace reference {
void combine_expert(CombineExpert const& op, Queue const& queue);
}

}  // namespace windlass
