/// One thread of a kernel: where it is, and what it shares with its warp and its thread block.
#pragma once

#include "kernels/cuda/words.hpp"

#if defined(WINDLASS_CUDA_EMULATED)
#include "kernels/cuda/emulated/thread.hpp"
#else

namespace windlass::cuda {

/// Warps always work together: either all 32 lanes call a shuffle or a tensor core, or none.
class Thread {
 public:
  __device__ explicit Thread(void* shared) : shared_(static_cast<char*>(shared)) {}

  __device__ int index() const { return int(threadIdx.x); }
  __device__ int count() const { return int(blockDim.x); }
  __device__ int lane() const { return int(threadIdx.x % 32); }
  __device__ int warp() const { return int(threadIdx.x / 32); }
  __device__ int block() const { return int(blockIdx.x); }
  __device__ int part() const { return int(blockIdx.y); }

  /// Waits for all threads of the thread block.
  __device__ void sync() const { __syncthreads(); }
  /// The value of the lane whose number differs in the bits of `mask`.
  template <class T>
  __device__ T shuffle_xor(T value, int mask) const {
    return __shfl_xor_sync(0xffffffffu, value, mask);
  }
  /// The thread block's memory, from `offset_bytes` on (a multiple of 16).
  template <class T>
  __device__ T* shared(unsigned offset_bytes = 0) const {
    return reinterpret_cast<T*>(shared_ + offset_bytes);
  }

 private:
  char* shared_;
};

}  // namespace windlass::cuda
#endif
