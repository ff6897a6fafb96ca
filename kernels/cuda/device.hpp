/// The device of this process: the first one that CUDA shows it (CUDA_VISIBLE_DEVICES chooses).
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>

#include "kernels/cuda/launch_shape.hpp"
#include "kernels/memory.hpp"
#include "kernels/queue.hpp"

namespace windlass::cuda {

/// A call of CUDA failed: which, for what, and CUDA's own words.
class CudaError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws CudaError where `status` is one.
void check(cudaError_t status, std::string const& what);

/// Why no device can be used; empty where one can.
std::string const& why_unavailable();

/// Such as "cuda-sm90": devices of unlike architecture round unlike.
char const* arithmetic();

/// Managed memory that prefers the device, so that the host may read and write it between two steps; results lie in
/// pinned host memory, which the device reaches.
extern Memory const device_memory;

/// A kernel with one argument, and how many threads run it.
struct KernelCall {
  char const* name;
  void const* function;
  void* argument;
  LaunchShape shape;
};
/// Queued on the stream; with Completion::on_return waits for its end. Throws CudaError where the launch fails.
void start(KernelCall const& call, Queue const& queue);

/// Copies on the stream, through a ring of pinned memory; waits only where the ring is full.
std::byte const* upload_bytes(std::span<std::byte const> bytes);

}  // namespace windlass::cuda
