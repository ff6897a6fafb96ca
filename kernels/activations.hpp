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

constexpr int activation_tile = 8;  ///< int8 rows come in tiles of this many tokens

/// Columns [columns, stride) are zero; stride is a multiple of 32.
///
/// f32 and bf16: [tokens, stride] row by row. int8: tiles of 8 tokens, so that a product walks one tile with one
/// pointer: codes [tile][group of 32][8 tokens][32], factors [tile][group][8 tokens]; the last tile is whole, its
/// missing tokens are scrap.
struct Activations {
  ActivationFormat format = ActivationFormat::f32;
  void* values = nullptr;        ///< float, bfloat16 or int8, aligned to 64; value = scale * code
  float* scales = nullptr;       ///< int8 only
  float* scaled_sums = nullptr;  ///< int8 only: scale * float(sum of the group's codes)
  std::int32_t* sums = nullptr;  ///< int8 only: sum of the group's codes
  std::int64_t stride = 0;       ///< columns of a row, filled up

  constexpr std::int64_t groups() const { return stride / group_size; }
  /// Index into the factors of `token`'s group.
  constexpr std::int64_t factor_index(std::int64_t token, std::int64_t group) const {
    return (token / activation_tile * groups() + group) * activation_tile + token % activation_tile;
  }
  /// The rows from `token` on, a multiple of activation_tile.
  Activations from_token(std::int64_t token) const;
  /// Index into the int8 codes.
  constexpr std::int64_t code_index(std::int64_t token, std::int64_t column) const {
    return factor_index(token, column / group_size) * group_size + column % group_size;
  }
};

/// Tokens that int8 buffers must have room for.
constexpr int round_to_tile(int tokens) { return (tokens + activation_tile - 1) / activation_tile * activation_tile; }

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
