#include "kernels/kokkos/backend.hpp"

#include <Kokkos_Core.hpp>

#include "kernels/kokkos/parallel.hpp"

namespace windlass::kokkos {
namespace {

/// Its warnings are about binding threads, which is the job's affair, and would stand among a program's output.
#if KOKKOS_VERSION >= 30700
Kokkos::InitializationSettings settings(int threads) {
  return Kokkos::InitializationSettings().set_num_threads(threads).set_disable_warnings(true);
}
#else
Kokkos::InitArguments settings(int threads) {
  Kokkos::InitArguments arguments;
  arguments.num_threads = threads;
  arguments.disable_warnings = true;
  return arguments;
}
#endif

/// Kokkos between its start and its end. Whoever embeds this library may have started it already.
class Runtime {
 public:
  explicit Runtime(int threads) : ours_(!Kokkos::is_initialized()) {
    if (ours_) Kokkos::initialize(settings(threads));
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

Operations const& backend() { return kokkos_operations; }

void start(int threads) {
  static Runtime const runtime(threads);  // Kokkos itself is one per process
}

}  // namespace windlass::kokkos
