/// Element by element access to the tiles of a page (for `reference`, tests, checkpoints and transfers between unlike
/// backends; kernels read whole vectors instead).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/float_formats.hpp"
#include "kernels/kv_layout.hpp"

namespace windlass {

/// Index of K's element (position in the block, dim) in a tile of the cpu layout.
constexpr std::size_t k_element(KvShape const& shape, int position, int dim) {
  int const at =
      shape.format == KvFormat::f32 ? dim * block_tokens + position : (dim / 2 * block_tokens + position) * 2 + dim % 2;
  return std::size_t(at);
}

/// Index of V's element (position in the block, dim) in a tile of the cpu layout.
constexpr std::size_t v_element(KvShape const& shape, int position, int dim) {
  int const at = shape.format == KvFormat::f32 ? position * shape.head_dim + dim
                                               : (position / 2 * shape.head_dim + dim) * 2 + position % 2;
  return std::size_t(at);
}

/// What a value becomes when it is stored in a page: rounded to nearest even.
constexpr float round_to(KvFormat format, float value) {
  return format == KvFormat::f32 ? value : bf16_to_float(float_to_bf16(value));
}

inline float load_element(std::byte const* tile, KvFormat format, std::size_t element) {
  if (format == KvFormat::bf16) {
    std::uint16_t bits;
    std::memcpy(&bits, tile + element * 2, 2);
    return bf16_to_float(bits);
  }
  float value;
  std::memcpy(&value, tile + element * 4, 4);
  return value;
}

inline void store_element(std::byte* tile, KvFormat format, std::size_t element, float value) {
  if (format == KvFormat::bf16) {
    std::uint16_t const bits = float_to_bf16(value);
    std::memcpy(tile + element * 2, &bits, 2);
  } else {
    std::memcpy(tile + element * 4, &value, 4);
  }
}

/// The page's block in the canonical order [layer][k|v][kv_head][position][dim], same element format. Both point to
/// shape.page_bytes() bytes that do not overlap.
void copy_block_to_canonical(KvShape const& shape, std::byte const* page, std::byte* canonical);
/// The inverse.
void copy_block_from_canonical(KvShape const& shape, std::byte const* canonical, std::byte* page);

}  // namespace windlass
