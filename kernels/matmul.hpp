/// Matrix product over packed weights.
#pragma once

#include <cstdint>

#include "kernels/accumulate.hpp"
#include "kernels/activations.hpp"
#include "kernels/packed_matrix.hpp"
#include "kernels/slices.hpp"

namespace windlass {

/// y[t, n] (+)= bias[n] + sum over k of x[t, k] * weight[n, k].
///
/// Order of sums, the same for every backend level of one arithmetic id: `slices` (kernels/slices.hpp); then
/// + bias; then, with add_to_y, y + that. Within a slice, in ascending k into one float32 accumulator per (t, n) that
/// starts at zero:
/// - f32 activations: acc = fma(x, w, acc) for each k; w as the format says (quantised: fma(scale, code, min), or scale
/// * (code - zero)).
/// - bf16 activations: acc = VDPBF16PS(acc, x pair, w pair) for each k pair.
/// - int8 activations, per scale group: acc = fma(scale_w, scale_x * float(dot), acc), dot = sum of code_x * (code_w -
/// zero) exact in
///   int32 (zero = 128, 8; 0 with min); with min then acc = fma(min_w, scale_x * float(sum of code_x over the scale
///   group), acc).
struct MatMul {
  float* y = nullptr;  ///< [tokens, y_stride], aligned to 64; columns [rows, 16 * panels) are written too (scrap)
  std::int64_t y_stride = 0;  ///< >= 16 * panels, multiple of 16
  Activations x;              ///< format = activation_format(weight->format, precision)
  PackedMatrix const* weight = nullptr;
  float const* bias = nullptr;  ///< [16 * panels], or null
  Slices slices;                ///< only groups [borders[0], borders[count]) are summed
  int tokens = 0;               ///< 0 is legal
  Accumulate accumulate = Accumulate::store;
};
/// Sequential, in double; scales as above. Differs from the backends by rounding only (relative 1e-5 of sum |x w|).
namespace reference {
void matmul(MatMul const& op, Queue const& queue);
}

}  // namespace windlass
