// The table of one level.
#include "kernels/operations.hpp"

#include "kernels/x86/level_operations.hpp"

#define WINDLASS_TEXT_OF(name) #name
#define WINDLASS_NAME_OF(level) WINDLASS_TEXT_OF(level)

namespace windlass::x86::WINDLASS_LEVEL {

Operations const operations {
  .name = WINDLASS_NAME_OF(WINDLASS_LEVEL), .fast_kv = KvFormat::bf16,
#if defined(__AVX512BF16__)
  .bf16_products = true,
#else
  .bf16_products = false,
#endif
  .encode_activations = encode_activations, .matmul = matmul, .rms_norm = rms_norm, .rope_and_store = rope_and_store,
  .paged_attention = paged_attention, .gated_activation = gated_activation, .embedding = embedding,
  .log_normalizer = log_normalizer, .route_experts = reference::route_experts, .gather_rows = reference::gather_rows,
  .combine_expert = reference::combine_expert, .sum_partials = sum_partials
};

}  // namespace windlass::x86::WINDLASS_LEVEL
