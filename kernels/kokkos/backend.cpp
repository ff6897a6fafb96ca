#include "kernels/kokkos/backend.hpp"

#include <Kokkos_Core.hpp>

namespace windlass::kokkos {
namespace {

/// Kokkos between its start and its end. Whoever embeds this library may have started it already.
class Runtime {
 public:
  Runtime() : ours_(!Kokkos::is_initialized()) {
    if (ours_) Kokkos::initialize();
  }
  ~Runtime() {
    if (ours_ && Kokkos::is_initialized()) Kokkos::finalize();
  }
  Runtime(Runtime const&) = delete;
  Runtime& operator=(Runtime const&) = delete;

 private:
  bool ours_;
};

constexpr Operations kokkos_operations{.name = "kokkos",
                                       .fast_kv = KvFormat::f32,
                                       .bf16_products = false,
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

}  // namespace

Operations const& backend() {
  static Runtime const runtime;  // Kokkos itself is one per process
  return kokkos_operations;
}

}  // namespace windlass::kokkos
