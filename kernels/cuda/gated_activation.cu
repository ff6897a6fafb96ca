// One thread per value. Bound by memory.
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/math.hpp"
#include "kernels/cuda/table.hpp"
#include "kernels/gated_activation.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

struct GatedActivationKernel {
  static constexpr char const* name = "gated_activation";
  static constexpr int threads = 256;
  GatedActivation op;

  WINDLASS_DEVICE float gated(float z) const {
    if (op.gate == GateFunction::silu) return z / (1 + exponential(-z));
    float const inner = 0.79788456f * fmaf(0.044715f * (z * z), z, z);  // sqrt(2 / pi) (z + ...)
    return 0.5f * z * (1 + hyperbolic_tangent(inner));
  }

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    int const i = thread.part() * threads + thread.index();
    if (i >= op.width) return;
    float const* const x = op.x + thread.block() * op.x_stride;
    op.y[thread.block() * op.y_stride + i] = gated(x[i]) * x[op.up_offset + i];
  }
};

}  // namespace

void gated_activation(GatedActivation const& op, Queue const& queue) {
  launch(GatedActivationKernel{op},
         {.blocks = op.tokens,
          .parts = parts_of(op.width, GatedActivationKernel::threads),
          .threads = GatedActivationKernel::threads},
         queue);
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
