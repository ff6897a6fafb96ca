/// A matrix product as kernels see it, and the order of its sums (kernels/matmul.hpp, kernels/slices.hpp).
#pragma once

#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/weight_view.hpp"
#include "kernels/matmul.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {

struct Product {
  float* y;  // [tokens, y_stride]
  std::int64_t y_stride;
  Activations x;
  WeightView weight;
  float const* bias;  // [16 * panels] or null
  int tokens;
  Accumulate accumulate;
  int slices;
  std::uint8_t merges[max_slices];  ///< after each slice
  int borders[max_slices + 1];      ///< in groups

  explicit Product(MatMul const& op)
      : y(op.y),
        y_stride(op.y_stride),
        x(op.x),
        weight(*op.weight),
        bias(op.bias),
        tokens(op.tokens),
        accumulate(op.accumulate),
        slices(op.slices.count) {
    for (int i = 0; i < slices; ++i) merges[i] = std::uint8_t(merges_after(i, slices));
    for (int i = 0; i <= slices; ++i) borders[i] = op.slices.borders[std::size_t(i)];
  }

  /// Output n (of the panels) of a token.
  WINDLASS_DEVICE void finish(int token, int n, float sum) const {
    if (token >= tokens) return;
    float& to = y[token * y_stride + n];
    if (bias != nullptr) sum = sum + bias[n];
    to = accumulate == Accumulate::add_to_y ? to + sum : sum;
  }
};

/// Calls add_group(group, sums) for all groups in order and leaves the tree's sum in `sums`. `waiting`: of this thread,
/// `count` floats per level, `apart` from each other.
template <int count, class AddGroup>
WINDLASS_DEVICE void sum_slices(Product const& product, float (&sums)[count], float* waiting, int apart,
                                AddGroup const& add_group) {
  int depth = 0;
  for (int slice = 0; slice < product.slices; ++slice) {
    if (slice > 0) {
      for (int i = 0; i < count; ++i) waiting[(depth * count + i) * apart] = sums[i];
      ++depth;
    }
    for (int i = 0; i < count; ++i) sums[i] = 0;
    for (int group = product.borders[slice]; group < product.borders[slice + 1]; ++group) add_group(group, sums);
    for (int merge = product.merges[slice]; merge > 0; --merge) {
      --depth;
      for (int i = 0; i < count; ++i) sums[i] = waiting[(depth * count + i) * apart] + sums[i];
    }
  }
}

/// For `waiting` of all threads.
constexpr std::size_t waiting_bytes(int slices, int count, int threads) {
  return std::size_t(waiting_sums(slices)) * std::size_t(count) * std::size_t(threads) * sizeof(float);
}

/// Panels that a thread block takes, a warp each: few where there are few panels, so that all processors have work.
constexpr int warps_for_panels(int panels) {
  constexpr int enough_thread_blocks = 512;
  int warps = 4;
  while (warps > 1 && panels / warps < enough_thread_blocks) warps /= 2;
  return warps;
}

void matmul_f32(MatMul const& op, Queue const& queue);
void matmul_bf16(MatMul const& op, Queue const& queue);
void matmul_int8(MatMul const& op, Queue const& queue);

}  // namespace windlass::WINDLASS_CUDA_SPACE
