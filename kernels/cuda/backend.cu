#include "kernels/cuda/backend.hpp"
#include "kernels/cuda/device.hpp"
#include "kernels/cuda/table.hpp"

namespace windlass::cuda {
namespace {

/// Attention's workspace has room for so many threads' partials: 384 jobs at once, whatever their context.
constexpr int attention_threads = 64;

Operations make_backend() {
  Operations operations = table();
  operations.name = "cuda";
  operations.arithmetic = arithmetic();
  operations.memory = &device_memory;
  operations.attention_threads = attention_threads;
  return operations;
}

}  // namespace

Operations const* backend() {
  if (!why_unavailable().empty()) return nullptr;
  static Operations const operations = make_backend();
  return &operations;
}

}  // namespace windlass::cuda
