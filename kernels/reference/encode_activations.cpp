#include <algorithm>
#include <cmath>

#include "kernels/activations.hpp"
#include "kernels/float_formats.hpp"

namespace windlass {
namespace {

/// Column `c` of a row, zero behind the last one.
float column(EncodeActivations const& op, int token, std::int64_t c) {
  return c < op.columns ? op.x[token * op.x_stride + c] : 0;
}

void encode_int8_group(EncodeActivations const& op, int token, std::int64_t group) {
  float largest = 0;
  for (int i = 0; i < group_size; ++i)
    largest = std::max(largest, std::fabs(column(op, token, group * group_size + i)));
  float const to_code = 127 / largest;  // infinite where the group is zero, or so small that it counts as zero
  std::int32_t sum = 0;
  for (int i = 0; i < group_size; ++i) {
    std::int64_t const c = group * group_size + i;
    float const code = std::isfinite(to_code) ? std::nearbyint(column(op, token, c) * to_code) : 0;
    static_cast<std::int8_t*>(op.out.values)[op.out.code_index(token, c)] = std::int8_t(code);
    sum += std::int32_t(code);
  }
  std::int64_t const at = op.out.factor_index(token, group);
  op.out.scales[at] = largest / 127;
  op.out.sums[at] = sum;
  op.out.scaled_sums[at] = op.out.scales[at] * float(sum);
}

void encode_row(EncodeActivations const& op, int token) {
  switch (op.out.format) {
    case ActivationFormat::f32:
      for (std::int64_t c = 0; c < op.out.stride; ++c)
        static_cast<float*>(op.out.values)[token * op.out.stride + c] = column(op, token, c);
      return;
    case ActivationFormat::bf16:
      for (std::int64_t c = 0; c < op.out.stride; ++c)
        static_cast<std::uint16_t*>(op.out.values)[token * op.out.stride + c] = float_to_bf16(column(op, token, c));
      return;
    case ActivationFormat::int8:
      for (std::int64_t group = 0; group < op.out.stride / group_size; ++group) encode_int8_group(op, token, group);
      return;
  }
}

}  // namespace

void reference::encode_activations(EncodeActivations const& op, Queue const&) {
  for (int token = 0; token < op.tokens; ++token) encode_row(op, token);
}

}  // namespace windlass
