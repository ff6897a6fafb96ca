/// One backend: the table of its operations. The forward pass calls nothing else.
#pragma once

#include <string>
#include <vector>

#include "kernels/attention.hpp"
#include "kernels/embedding.hpp"
#include "kernels/gated_activation.hpp"
#include "kernels/log_softmax.hpp"
#include "kernels/matmul.hpp"
#include "kernels/memory.hpp"
#include "kernels/moe.hpp"
#include "kernels/rms_norm.hpp"
#include "kernels/rope.hpp"
#include "kernels/sum_partials.hpp"

namespace windlass {

/// Every function is set.
struct Operations {
  char const* name = "";                ///< "reference", "kokkos", "avx2", "avx512", "avx512_bf16", "amx", "cuda"
  char const* arithmetic = "";          ///< the backend with the same bits; stands in the arithmetic id. "": itself
  KvFormat fast_kv = KvFormat::f32;     ///< KV format of Precision::fast
  bool bf16_products = false;           ///< has them; else bf16 weights are computed in float32
  Memory const* memory = &host_memory;  ///< of the arrays that its operations read and write
  int attention_threads = 0;            ///< what attention_workspace_bytes() is to be asked for; 0: the team's
  void (*encode_activations)(EncodeActivations const&, Queue const&) = nullptr;
  void (*matmul)(MatMul const&, Queue const&) = nullptr;
  void (*rms_norm)(RmsNorm const&, Queue const&) = nullptr;
  void (*rope_and_store)(RopeAndStore const&, Queue const&) = nullptr;
  void (*paged_attention)(PagedAttention const&, Queue const&) = nullptr;
  void (*gated_activation)(GatedActivation const&, Queue const&) = nullptr;
  void (*embedding)(Embedding const&, Queue const&) = nullptr;
  void (*log_normalizer)(LogNormalizer const&, Queue const&) = nullptr;
  void (*route_experts)(RouteExperts const&, Queue const&) = nullptr;
  void (*gather_rows)(GatherRows const&, Queue const&) = nullptr;
  void (*combine_expert)(CombineExpert const&, Queue const&) = nullptr;
  void (*sum_partials)(SumPartials const&, Queue const&) = nullptr;
};

/// The backends that this build has and this machine can run, fastest last (a device behind the CPU); `reference` is
/// always the first.
std::vector<Operations const*> available_operations();

/// Why the device that this build has kernels for cannot be used here; empty where it can, or there are no kernels.
std::string missing_device();

/// The backend called `wanted`, or the fastest one for "auto". Throws InputError naming the possible ones.
Operations const& operations(std::string const& wanted);

}  // namespace windlass
