// Mixture of experts. Routing: one warp per row finds one expert after the other. Gathering and combining: one thread
// per value. Bound by memory.
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/math.hpp"
#include "kernels/cuda/table.hpp"
#include "kernels/moe.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

/// An expert and its logit; better: the larger logit, then the lower id.
struct Candidate {
  float logit;
  int expert;
};
WINDLASS_DEVICE bool is_better(Candidate a, Candidate b) {
  return a.logit > b.logit || (a.logit == b.logit && a.expert < b.expert);
}

struct RouteKernel {
  static constexpr char const* name = "route_experts";
  static constexpr int threads = 128, warps = threads / 32;
  RouteExperts op;

  /// The best expert that is worse than `last`, in all lanes.
  WINDLASS_DEVICE Candidate next_after(Thread const& thread, Candidate last, float const* logits) const {
    Candidate best{-INFINITY, op.num_experts};
    for (int expert = thread.lane(); expert < op.num_experts; expert += 32) {
      Candidate const candidate{logits[expert], expert};
      if (is_better(last, candidate) && is_better(candidate, best)) best = candidate;
    }
    for (int mask = 16; mask > 0; mask /= 2) {
      Candidate const other{thread.shuffle_xor(best.logit, mask), thread.shuffle_xor(best.expert, mask)};
      if (is_better(other, best)) best = other;
    }
    return best;
  }

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    std::int64_t const token = std::int64_t(thread.block()) * warps + thread.warp();
    if (token >= op.tokens) return;                             // the whole warp
    float const* const logits = op.logits + token * op.stride;  // [num_experts]
    int* const experts = op.experts + token * op.chosen;        // [chosen]
    float* const weights = op.weights + token * op.chosen;      // [chosen]
    Candidate last{INFINITY, -1};
    float largest = 0, chosen_sum = 0, all_sum = 0;
    for (int i = 0; i < op.chosen; ++i) {
      last = next_after(thread, last, logits);
      if (i == 0) largest = last.logit;
      chosen_sum += exponential(last.logit - largest);
      if (thread.lane() == 0) experts[i] = last.expert;
      if (thread.lane() == 0) weights[i] = last.logit;
    }
    for (int expert = thread.lane(); expert < op.num_experts; expert += 32)
      all_sum += exponential(logits[expert] - largest);
    all_sum = sum_of_warp(thread, all_sum);
    if (thread.lane() != 0) return;
    float const sum = op.normalization == RouterNormalization::softmax_all ? all_sum : chosen_sum;
    for (int i = 0; i < op.chosen; ++i) weights[i] = exponential(weights[i] - largest) / sum;
  }
};

struct GatherKernel {
  static constexpr char const* name = "gather_rows";
  static constexpr int threads = 256;
  GatherRows op;  // its rows lie on the device

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    int const k = thread.part() * threads + thread.index();
    if (k < op.width) op.y[thread.block() * op.y_stride + k] = op.x[op.rows[thread.block()] * op.x_stride + k];
  }
};

struct CombineKernel {
  static constexpr char const* name = "combine_expert";
  static constexpr int threads = 256;
  CombineExpert op;  // its rows and weights lie on the device

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    int const i = thread.block(), k = thread.part() * threads + thread.index();
    if (k >= op.width) return;
    float& y = op.y[op.rows[i] * op.y_stride + k];
    y = fmaf(op.weights[i], op.x[i * op.x_stride + k], y);
  }
};

}  // namespace

void route_experts(RouteExperts const& op, Queue const& queue) {
  launch(RouteKernel{op}, {.blocks = parts_of(op.tokens, RouteKernel::warps), .threads = RouteKernel::threads}, queue);
}

void gather_rows(GatherRows const& op, Queue const& queue) {
  if (op.count == 0) return;
  GatherKernel kernel{op};
  kernel.op.rows = upload(std::span(op.rows, std::size_t(op.count)));
  launch(kernel,
         {.blocks = op.count, .parts = parts_of(op.width, GatherKernel::threads), .threads = GatherKernel::threads},
         queue);
}

void combine_expert(CombineExpert const& op, Queue const& queue) {
  if (op.count == 0) return;
  CombineKernel kernel{op};
  kernel.op.rows = upload(std::span(op.rows, std::size_t(op.count)));
  kernel.op.weights = upload(std::span(op.weights, std::size_t(op.count)));
  launch(kernel,
         {.blocks = op.count, .parts = parts_of(op.width, CombineKernel::threads), .threads = CombineKernel::threads},
         queue);
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
