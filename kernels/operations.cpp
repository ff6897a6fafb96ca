#include "kernels/operations.hpp"

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#if defined(WINDLASS_HAS_CUDA)
#include "kernels/cuda/backend.hpp"
#endif
#if defined(WINDLASS_HAS_KOKKOS)
#include "kernels/kokkos/backend.hpp"
#endif
#if defined(WINDLASS_HAS_X86)
#include "kernels/x86/levels.hpp"
#endif

namespace windlass {
namespace {

constexpr Operations reference_operations{.name = "reference",
                                          .fast_kv = KvFormat::f32,
                                          .bf16_products = true,
                                          .encode_activations = reference::encode_activations,
                                          .matmul = reference::matmul,
                                          .rms_norm = reference::rms_norm,
                                          .rope_and_store = reference::rope_and_store,
                                          .paged_attention = reference::paged_attention,
                                          .gated_activation = reference::gated_activation,
                                          .embedding = reference::embedding,
                                          .log_normalizer = reference::log_normalizer,
                                          .route_experts = reference::route_experts,
                                          .gather_rows = reference::gather_rows,
                                          .combine_expert = reference::combine_expert,
                                          .sum_partials = reference::sum_partials};

/// Why a backend that was asked for is not there.
std::string why_missing(std::string const& wanted) {
  if (wanted != "cuda") return "is not in this build or not possible on this machine";
  std::string const why = missing_device();
  return why.empty() ? "is not in this build (configure with -DWINDLASS_CUDA=ON, or the preset cuda)"
                     : text("is not possible here: ", why);
}

}  // namespace

std::vector<Operations const*> available_operations() {
  std::vector<Operations const*> available{&reference_operations};
#if defined(WINDLASS_HAS_KOKKOS)
  available.push_back(&kokkos::backend());
#endif
#if defined(WINDLASS_HAS_X86)
  for (Operations const* level : x86::runnable_levels()) available.push_back(level);
#endif
#if defined(WINDLASS_HAS_CUDA)
  if (Operations const* const device = cuda::backend()) available.push_back(device);
#endif
  return available;
}

std::string missing_device() {
#if defined(WINDLASS_HAS_CUDA)
  return cuda::why_unavailable();
#else
  return {};
#endif
}

Operations const& operations(std::string const& wanted) {
  auto const available = available_operations();
  if (wanted == "auto") return *available.back();
  std::string names = "auto";
  for (Operations const* backend : available) {
    if (wanted == backend->name) return *backend;
    names += text(", ", backend->name);
  }
  throw InputError(text("backend '", wanted, "' ", why_missing(wanted), "; use one of: ", names));
}

}  // namespace windlass
