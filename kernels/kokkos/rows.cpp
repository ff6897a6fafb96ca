// Operations on one row at a time; a call of the functor computes one row.
#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/kokkos/backend.hpp"
#include "kernels/kokkos/clones.hpp"
#include "kernels/kokkos/exponential.hpp"
#include "kernels/kokkos/parallel.hpp"

namespace windlass::kokkos {
namespace {

constexpr int lanes = 16;  ///< interleaved partial sums: a fixed order that vector units like

float sum_of(std::array<float, lanes> const& parts) {
  float sum = 0;
  for (float part : parts) sum += part;
  return sum;
}

WINDLASS_CLONED void norm_row(RmsNorm const& op, std::int64_t token) {
  float const* x = op.x + token * op.x_stride;  // [hidden]
  float* y = op.y + token * op.y_stride;        // [hidden]
  std::array<float, lanes> squares{};
  int h = 0;
  for (; h + lanes <= op.hidden; h += lanes)
    for (int lane = 0; lane < lanes; ++lane)
      squares[std::size_t(lane)] = std::fma(x[h + lane], x[h + lane], squares[std::size_t(lane)]);
  for (int lane = 0; h + lane < op.hidden; ++lane)
    squares[std::size_t(lane)] = std::fma(x[h + lane], x[h + lane], squares[std::size_t(lane)]);
  float const scale = 1 / std::sqrt(sum_of(squares) / float(op.hidden) + op.eps);
  bool const adds = op.accumulate == Accumulate::add_to_y;
  for (int i = 0; i < op.hidden; ++i) {
    float const normed = x[i] * scale * op.weight[i];
    y[i] = adds ? y[i] + normed : normed;
  }
}

WINDLASS_CLONED void gate_row(GatedActivation const& op, std::int64_t token) {
  float const* x = op.x + token * op.x_stride;  // [up_offset + width]
  float* y = op.y + token * op.y_stride;        // [width]
  if (op.gate == GateFunction::silu) {
    for (int i = 0; i < op.width; ++i) y[i] = x[i] / (1 + exponential(-x[i])) * x[op.up_offset + i];
    return;
  }
  for (int i = 0; i < op.width; ++i) {
    float const inner = 0.79788456f * std::fma(0.044715f * (x[i] * x[i]), x[i], x[i]);  // sqrt(2 / pi) (z + ...)
    y[i] = 0.5f * x[i] * (1 + hyperbolic_tangent(inner)) * x[op.up_offset + i];
  }
}

WINDLASS_CLONED void normalize_row(LogNormalizer const& op, std::int64_t row) {
  float* x = op.x + row * op.stride;  // [vocab]
  if (op.soft_cap > 0)
    for (int v = 0; v < op.vocab; ++v) x[v] = op.soft_cap * hyperbolic_tangent(x[v] / op.soft_cap);
  float const largest = *std::max_element(x, x + op.vocab);
  std::array<double, lanes> sums{};
  for (int v = 0; v < op.vocab; v += lanes) {
    int const end = std::min(lanes, op.vocab - v);
    std::array<float, lanes> powers;
    for (int lane = 0; lane < end; ++lane) powers[std::size_t(lane)] = exponential(x[v + lane] - largest);
    for (int lane = 0; lane < end; ++lane) sums[std::size_t(lane)] += double(powers[std::size_t(lane)]);
  }
  double sum = 0;
  for (double part : sums) sum += part;
  op.normalizer[row] = float(double(largest) + std::log(sum));
}

}  // namespace

void rms_norm(RmsNorm const& op, Queue const& queue) {
  for_each(queue, "windlass::rms_norm::y", op.tokens, [&op](std::int64_t token) { norm_row(op, token); });
}

void gated_activation(GatedActivation const& op, Queue const& queue) {
  for_each(queue, "windlass::gated_activation::y", op.tokens, [&op](std::int64_t token) { gate_row(op, token); });
}

void log_normalizer(LogNormalizer const& op, Queue const& queue) {
  for_each(queue, "windlass::log_normalizer::normalizer", op.rows, [&op](std::int64_t row) { normalize_row(op, row); });
}

}  // namespace windlass::kokkos
