/// What makes one source compile for a device (nvcc) and, thread for thread, for the host (emulated/).
#pragma once

#if defined(WINDLASS_CUDA_EMULATED)
#define WINDLASS_DEVICE inline
#define WINDLASS_CUDA_SPACE cuda_emulated
#else
#define WINDLASS_DEVICE __device__ __forceinline__
#define WINDLASS_CUDA_SPACE cuda
#endif
