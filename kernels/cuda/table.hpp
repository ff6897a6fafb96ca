/// The operations of this backend.
#pragma once

#include "kernels/cuda/words.hpp"
#include "kernels/operations.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {

void encode_activations(EncodeActivations const& op, Queue const& queue);
void matmul(MatMul const& op, Queue const& queue);
void rms_norm(RmsNorm const& op, Queue const& queue);
void rope_and_store(RopeAndStore const& op, Queue const& queue);
void paged_attention(PagedAttention const& op, Queue const& queue);
void gated_activation(GatedActivation const& op, Queue const& queue);
void embedding(Embedding const& op, Queue const& queue);
void log_normalizer(LogNormalizer const& op, Queue const& queue);
void route_experts(RouteExperts const& op, Queue const& queue);
void gather_rows(GatherRows const& op, Queue const& queue);
void combine_expert(CombineExpert const& op, Queue const& queue);
void sum_partials(SumPartials const& op, Queue const& queue);

/// All of them; the rest of the fields is the caller's.
inline Operations table() {
  return {.fast_kv = KvFormat::bf16,
          .bf16_products = true,
          .encode_activations = encode_activations,
          .matmul = matmul,
          .rms_norm = rms_norm,
          .rope_and_store = rope_and_store,
          .paged_attention = paged_attention,
          .gated_activation = gated_activation,
          .embedding = embedding,
          .log_normalizer = log_normalizer,
          .route_experts = route_experts,
          .gather_rows = gather_rows,
          .combine_expert = combine_expert,
          .sum_partials = sum_partials};
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
