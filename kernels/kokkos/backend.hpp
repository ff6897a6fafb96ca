/// The portable backend: every operation on Kokkos' default host execution space.
#pragma once

#include "kernels/operations.hpp"

namespace windlass::kokkos {

/// The table of this backend. Its first loop starts Kokkos (if nobody has), the end of the program finishes it.
Operations const& backend();

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

}  // namespace windlass::kokkos
