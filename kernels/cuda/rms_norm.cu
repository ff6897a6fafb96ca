// One thread block per row; threads stride over it. Bound by memory: reads x twice (the second time from the cache),
// writes y once.
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/math.hpp"
#include "kernels/cuda/table.hpp"
#include "kernels/rms_norm.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

struct RmsNormKernel {
  static constexpr char const* name = "rms_norm";
  static constexpr int threads = 256;
  RmsNorm op;

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    float const* const x = op.x + thread.block() * op.x_stride;  // [hidden]
    float* const y = op.y + thread.block() * op.y_stride;        // [hidden]
    float squares = 0;
    for (int h = thread.index(); h < op.hidden; h += threads) squares = fmaf(x[h], x[h], squares);
    float const sum = sum_of_block(thread, squares, thread.shared<float>());
    float const scale = 1 / sqrtf(sum / float(op.hidden) + op.eps);
    for (int h = thread.index(); h < op.hidden; h += threads) {
      float const normed = x[h] * scale * op.weight[h];
      y[h] = op.accumulate == Accumulate::add_to_y ? y[h] + normed : normed;
    }
  }
};

}  // namespace

void rms_norm(RmsNorm const& op, Queue const& queue) {
  launch(RmsNormKernel{op},
         {.blocks = op.tokens, .threads = RmsNormKernel::threads, .shared_bytes = 32 * sizeof(float)}, queue);
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
