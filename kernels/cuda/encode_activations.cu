// One warp per group of 32 columns of a row, one lane per column. Bound by memory. Every value is exact or rounded
// once, so the bits are those of `reference`.
#include "kernels/activations.hpp"
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/math.hpp"
#include "kernels/cuda/table.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

struct EncodeKernel {
  static constexpr char const* name = "encode_activations";
  static constexpr int threads = 256, warps = threads / 32;
  EncodeActivations op;

  WINDLASS_DEVICE void encode_int8(Thread const& thread, float x, int token, std::int64_t group) const {
    float const largest = largest_of_warp(thread, fabsf(x));
    float const to_code = 127 / largest;  // infinite where the group is zero, or so small that it counts as zero
    int const code = to_code <= 3.4028235e38f ? int(nearbyintf(x * to_code)) : 0;
    int const sum = sum_of_warp(thread, code);
    std::int64_t const at = op.out.factor_index(token, group);
    static_cast<std::int8_t*>(op.out.values)[at * group_size + thread.lane()] = std::int8_t(code);
    if (thread.lane() != 0) return;
    float const scale = largest / 127;
    op.out.scales[at] = scale;
    op.out.sums[at] = sum;
    op.out.scaled_sums[at] = scale * float(sum);
  }

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    int const token = thread.block();
    std::int64_t const group = std::int64_t(thread.part()) * warps + thread.warp();
    if (group >= op.out.groups()) return;  // the whole warp
    std::int64_t const column = group * group_size + thread.lane(), at = token * op.out.stride + column;
    float const x = column < op.columns ? op.x[token * op.x_stride + column] : 0;
    switch (op.out.format) {
      case ActivationFormat::f32:
        static_cast<float*>(op.out.values)[at] = x;
        break;
      case ActivationFormat::bf16:
        static_cast<std::uint16_t*>(op.out.values)[at] = float_to_bf16(x);
        break;
      case ActivationFormat::int8:
        encode_int8(thread, x, token, group);
        break;
    }
  }
};

}  // namespace

void encode_activations(EncodeActivations const& op, Queue const& queue) {
  launch(
      EncodeKernel{op},
      {.blocks = op.tokens, .parts = parts_of(op.out.groups(), EncodeKernel::warps), .threads = EncodeKernel::threads},
      queue);
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
