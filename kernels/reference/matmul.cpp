#include "kernels/matmul.hpp"

#include <algorithm>
#include <vector>

#include "kernels/float_formats.hpp"

namespace windlass {
namespace {

/// The values that x[token, 0 .. columns) stand for.
std::vector<double> row_of(Activations const& x, int token, int columns) {
  std::vector<double> row(static_cast<std::size_t>(columns));
  for (int k = 0; k < columns; ++k) {
    std::int64_t const at = token * x.stride + k;
    double& value = row[std::size_t(k)];
    switch (x.format) {
      case ActivationFormat::f32:
        value = double(static_cast<float const*>(x.values)[at]);
        break;
      case ActivationFormat::bf16:
        value = double(bf16_to_float(static_cast<std::uint16_t const*>(x.values)[at]));
        break;
      case ActivationFormat::int8:
        value = double(x.scales[x.factor_index(token, k / group_size)]) *
                double(static_cast<std::int8_t const*>(x.values)[x.code_index(token, k)]);
        break;
    }
  }
  return row;
}

std::vector<double> row_of(PackedMatrix const& weight, int n) {
  std::vector<double> row(static_cast<std::size_t>(weight.columns));
  for (int k = 0; k < weight.columns; ++k) row[std::size_t(k)] = double(weight_at(weight, n, k));
  return row;
}

}  // namespace

void reference::matmul(MatMul const& op, Queue const&) {
  std::vector<std::vector<double>> x;  // [tokens][columns]
  for (int token = 0; token < op.tokens; ++token) x.push_back(row_of(op.x, token, op.weight->columns));
  std::size_t const first = std::size_t(op.slices.borders[0]) * group_size;
  std::size_t const end =
      std::size_t(std::min(op.slices.borders[std::size_t(op.slices.count)] * group_size, op.weight->columns));
  for (int n = 0; n < op.weight->rows; ++n) {
    std::vector<double> const w = row_of(*op.weight, n);
    for (int token = 0; token < op.tokens; ++token) {
      double sum = op.bias ? double(op.bias[n]) : 0;
      for (std::size_t k = first; k < end; ++k) sum += x[std::size_t(token)][k] * w[k];
      float& y = op.y[token * op.y_stride + n];
      y = float(op.accumulate == Accumulate::add_to_y ? double(y) + sum : sum);
    }
  }
}

}  // namespace windlass
