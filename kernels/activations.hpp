/// Rows of activations in the format that a matrix product reads.
#pragma once

#include <cstdint>

#include "kernels/packed_matrix.hpp"
#include "kernels/queue.hpp"

namespace windlass {

enum class ActivationFormat : std::uint8_t { f32, bf16, int8 };

/// Which arithmetic the matrix products use: `f32` meets the reference tolerances; `fast` takes int8 activations with
/// quantised weights and bf16 ones with bf16 weights.
enum class Precision : std::uint8_t { f32, fast };

/// The one format in which products with weights of `weights` read their activations.
/// `bf16_products`: the backend has them (Operations::bf16_products); else bf16 weights are read with float32
/// activations.
ActivationFormat activation_format(WeightFormat weights, Precision precision, bool bf16_products);

/// [tokens, stride] elements, columns [columns, stride) are zero; stride is a multiple of 32.
struct Activations {
  ActivationFormat format = ActivationFormat::f32;
  void* values = nullptr;        ///< float, bfloat16 or int8 [tokens, stride], aligned to 64
  float* scales = nullptr;       ///< int8 only: [tokens, stride / 32]; value = scale * code
  std::int32_t* sums = nullptr;  ///< int8 only: [tokens, stride / 32]; sum of the group's codes
  std::int64_t stride = 0;       ///< elements from one token to the next
};

/// out[t, :] = x[t, :] in out.format, columns filled up with zeros to out.stride. bf16: round to nearest even.
/// int8: per group of 32, scale = max|x| / 127, code = x * (127 / max|x|) rounded to nearest even; an all-zero group
/// has scale 0.
struct EncodeActivations {
  Activations out;
  float const* x = nullptr;  ///< [tokens, x_stride]
  std::int64_t x_stride = 0;
  int tokens = 0;  ///< 0 is legal
  int columns = 0;
};
namespace reference {
void encode_activations(EncodeActivations const& op, Queue const& queue);
}

}  // namespace windlass
