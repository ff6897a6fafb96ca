// One thread block per row; the sum is in double, which costs nothing beside reading the row. Bound by memory.
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/math.hpp"
#include "kernels/cuda/table.hpp"
#include "kernels/log_softmax.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

struct LogNormalizerKernel {
  static constexpr char const* name = "log_normalizer";
  static constexpr int threads = 512;
  LogNormalizer op;

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    float* const x = op.x + thread.block() * op.stride;  // [vocab]
    float largest = -INFINITY;
    for (int v = thread.index(); v < op.vocab; v += threads) {
      if (op.soft_cap > 0) x[v] = op.soft_cap * hyperbolic_tangent(x[v] / op.soft_cap);
      largest = largest_of(largest, x[v]);
    }
    largest = largest_of_block(thread, largest, thread.shared<float>());
    double sum = 0;
    for (int v = thread.index(); v < op.vocab; v += threads) sum += double(exponential(x[v] - largest));
    sum = sum_of_block(thread, sum, thread.shared<double>());
    if (thread.index() == 0) op.normalizer[thread.block()] = float(double(largest) + log(sum));
  }
};

}  // namespace

void log_normalizer(LogNormalizer const& op, Queue const& queue) {
  launch(LogNormalizerKernel{op},
         {.blocks = op.rows, .threads = LogNormalizerKernel::threads, .shared_bytes = 32 * sizeof(double)}, queue);
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
