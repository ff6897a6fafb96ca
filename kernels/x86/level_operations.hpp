/// The operations of one x86 level, as its sources define them. Included by kernels/x86/*.cpp only.
#pragma once

#include "kernels/operations.hpp"

#ifndef WINDLASS_LEVEL
#error "compile x86 kernels through windlass_x86_level() in kernels/CMakeLists.txt"
#endif

namespace windlass::x86::WINDLASS_LEVEL {

void encode_activations(EncodeActivations const& op, Queue const& queue);
void matmul(MatMul const& op, Queue const& queue);
void rms_norm(RmsNorm const& op, Queue const& queue);
void rope_and_store(RopeAndStore const& op, Queue const& queue);
void paged_attention(PagedAttention const& op, Queue const& queue);
void gated_activation(GatedActivation const& op, Queue const& queue);
void embedding(Embedding const& op, Queue const& queue);
void log_normalizer(LogNormalizer const& op, Queue const& queue);
void sum_partials(SumPartials const& op, Queue const& queue);

extern Operations const operations;

}  // namespace windlass::x86::WINDLASS_LEVEL
