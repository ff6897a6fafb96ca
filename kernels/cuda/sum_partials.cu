// One thread per value, the tree's waiting sums in shared memory. Bound by memory. One addition per merge, so the bits
// are those of `reference`.
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/math.hpp"
#include "kernels/cuda/table.hpp"
#include "kernels/sum_partials.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

struct SumPartialsKernel {
  static constexpr char const* name = "sum_partials";
  static constexpr int threads = 256;
  SumPartials op;                // its spans lie in ordinary memory
  float const* const* partials;  // [roots]
  int const* merges;             // [roots]
  int roots;

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    int const token = thread.block(), n = thread.part() * threads + thread.index();
    if (n >= op.width) return;
    float* const waiting = thread.shared<float>() + thread.index();  // [levels], `threads` apart
    int depth = 0;
    float sum = 0;
    for (int root = 0; root < roots; ++root) {
      if (root > 0) waiting[threads * depth++] = sum;
      sum = partials[root][token * op.stride + n];
      for (int merge = merges[root]; merge > 0; --merge) sum = waiting[threads * --depth] + sum;
    }
    if (op.bias != nullptr) sum = sum + op.bias[n];
    float& y = op.y[token * op.y_stride + n];
    y = op.accumulate == Accumulate::add_to_y ? y + sum : sum;
  }
};

}  // namespace

void sum_partials(SumPartials const& op, Queue const& queue) {
  if (op.tokens == 0) return;
  launch(SumPartialsKernel{op, upload(op.partials), upload(op.merges), int(op.partials.size())},
         {.blocks = op.tokens,
          .parts = parts_of(op.width, SumPartialsKernel::threads),
          .threads = SumPartialsKernel::threads,
          .shared_bytes = std::size_t(max_slice_levels) * SumPartialsKernel::threads * sizeof(float)},
         queue);
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
