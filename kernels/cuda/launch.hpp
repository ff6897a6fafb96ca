/// Starting kernels. A kernel is a struct with `name`, `threads` (of a thread block, at most), its arguments, and
/// operator()(Thread const&), which runs once as every thread.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cuda/launch_shape.hpp"
#include "kernels/cuda/thread.hpp"
#include "kernels/queue.hpp"

#if defined(WINDLASS_CUDA_EMULATED)
#include "kernels/cuda/emulated/launch.hpp"
#else
#include "kernels/cuda/device.hpp"

namespace windlass::cuda {

template <class Kernel>
__global__ void __launch_bounds__(Kernel::threads) run_kernel(Kernel const kernel) {
  extern __shared__ float4 shared_memory[];
  kernel(Thread(shared_memory));
}

/// Queued on the device's stream. Throws CudaError naming kernel and shape.
template <class Kernel>
void launch(Kernel const& kernel, LaunchShape const& shape, Queue const& queue) {
  if (shape.is_empty()) return;
  Kernel argument = kernel;
  start({.name = Kernel::name,
         .function = reinterpret_cast<void const*>(&run_kernel<Kernel>),
         .argument = &argument,
         .shape = shape},
        queue);
}

/// A copy of a list on the device, for kernels that are launched next.
template <class T>
T const* upload(std::span<T const> list) {
  return reinterpret_cast<T const*>(upload_bytes(std::as_bytes(list)));
}

}  // namespace windlass::cuda
#endif
