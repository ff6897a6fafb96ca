// Matrix product: one call of the functor computes one panel (16 outputs) of up to 16 tokens; a group of weights is
// widened once for all of them. Lanes are outputs, so every output is summed in the contract's order.
#include "kernels/matmul.hpp"

#include <algorithm>

#include "kernels/kokkos/backend.hpp"
#include "kernels/kokkos/clones.hpp"
#include "kernels/kokkos/panel_group.hpp"
#include "kernels/kokkos/parallel.hpp"
#include "src/core/error.hpp"

namespace windlass::kokkos {
namespace {

constexpr int max_tokens = 16;

using Sums = float[max_tokens][panel_rows];

/// One panel against tokens [first_token, first_token + tokens).
struct Tile {
  MatMul const* op;
  int panel, first_token, tokens;
};

WINDLASS_CLONED void add_float_group(Tile const& tile, int group, Sums& sums) {
  MatMul const& op = *tile.op;
  float w[group_size][panel_rows];
  widen_group(*op.weight, op.weight->group(tile.panel, group), w);
  for (int t = 0; t < tile.tokens; ++t) {
    float const* x = static_cast<float const*>(op.x.values) + (tile.first_token + t) * op.x.stride +
                     std::int64_t(group) * group_size;  // [32]
    for (int k = 0; k < group_size; ++k)
      for (int r = 0; r < panel_rows; ++r) sums[t][r] = std::fma(x[k], w[k][r], sums[t][r]);
  }
}

WINDLASS_CLONED void add_int8_group(Tile const& tile, int group, Sums& sums) {
  MatMul const& op = *tile.op;
  QuantizedGroup w;
  read_group(*op.weight, op.weight->group(tile.panel, group), w);
  int const scale_group = op.weight->scale_group;
  for (int t = 0; t < tile.tokens; ++t) {
    std::int64_t const factor = op.x.factor_index(tile.first_token + t, group);
    std::int8_t const* x = static_cast<std::int8_t const*>(op.x.values) + factor * group_size;  // [32]
    float const x_scale = op.x.scales[factor];
    for (int first = 0; first < group_size; first += scale_group) {
      std::int32_t dots[panel_rows] = {}, code_sum = 0;
      for (int k = first; k < first + scale_group; ++k) {
        code_sum += x[k];
        for (int r = 0; r < panel_rows; ++r) dots[r] += std::int32_t(x[k]) * w.codes[k][r];
      }
      int const i = first / scale_group;
      for (int r = 0; r < panel_rows; ++r) sums[t][r] = std::fma(w.scales[i][r], x_scale * float(dots[r]), sums[t][r]);
      if (!has_min(op.weight->format)) continue;
      for (int r = 0; r < panel_rows; ++r) sums[t][r] = std::fma(w.mins[i][r], x_scale * float(code_sum), sums[t][r]);
    }
  }
}

void finish(Tile const& tile, Sums const& sums) {
  MatMul const& op = *tile.op;
  for (int t = 0; t < tile.tokens; ++t) {
    float* y = op.y + (tile.first_token + t) * op.y_stride + std::int64_t(tile.panel) * panel_rows;  // [16]
    for (int r = 0; r < panel_rows; ++r) {
      float const sum = op.bias ? sums[t][r] + op.bias[tile.panel * panel_rows + r] : sums[t][r];
      y[r] = op.accumulate == Accumulate::add_to_y ? y[r] + sum : sum;
    }
  }
}

/// Sums the slices and merges them in the tree of kernels/slices.hpp.
void run(Tile const& tile) {
  MatMul const& op = *tile.op;
  Sums stack[max_slice_levels];
  int depth = 0;
  for (int slice = 0; slice < op.slices.count; ++slice) {
    Sums& sums = stack[depth++];
    std::memset(&sums, 0, sizeof sums);
    for (int group = op.slices.borders[std::size_t(slice)]; group < op.slices.borders[std::size_t(slice) + 1];
         ++group) {
      if (op.x.format == ActivationFormat::int8)
        add_int8_group(tile, group, sums);
      else
        add_float_group(tile, group, sums);
    }
    for (int merges = merges_after(slice, op.slices.count); merges > 0; --merges, --depth)
      for (int t = 0; t < tile.tokens; ++t)
        for (int r = 0; r < panel_rows; ++r) stack[depth - 2][t][r] += stack[depth - 1][t][r];
  }
  finish(tile, stack[0]);
}

}  // namespace

void matmul(MatMul const& op, Queue const& queue) {
  ensure(op.x.format != ActivationFormat::bf16, "the kokkos backend has no bf16 products (Operations::bf16_products)");
  std::int64_t const token_parts = (op.tokens + max_tokens - 1) / max_tokens;
  for_each(queue, "windlass::matmul::y", token_parts * op.weight->panels(), [&](std::int64_t part) {
    int const first_token = int(part % token_parts) * max_tokens;
    run({&op, int(part / token_parts), first_token, std::min(max_tokens, op.tokens - first_token)});
  });
}

}  // namespace windlass::kokkos
