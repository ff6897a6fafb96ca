#include "kernels/kv_tile.hpp"

namespace windlass {
namespace {

/// Calls move(cpu offset, canonical offset) for every element of a page, offsets in bytes.
template <class Move>
void for_each_element(KvShape const& shape, Move const& move) {
  std::size_t const value_bytes = std::size_t(bytes_per_value(shape.format));
  auto const for_tile = [&](std::size_t tile_offset, auto const& element) {
    for (int position = 0; position < block_tokens; ++position)
      for (int dim = 0; dim < shape.head_dim; ++dim)
        move(tile_offset + element(shape, position, dim) * value_bytes,
             tile_offset + std::size_t(position * shape.head_dim + dim) * value_bytes);
  };
  for (int layer = 0; layer < shape.layers; ++layer)
    for (int head = 0; head < shape.kv_heads; ++head) {
      for_tile(shape.k_offset(layer, head), k_element);
      for_tile(shape.v_offset(layer, head), v_element);
    }
}

}  // namespace

void copy_block_to_canonical(KvShape const& shape, std::byte const* page, std::byte* canonical) {
  std::size_t const value_bytes = std::size_t(bytes_per_value(shape.format));
  for_each_element(
      shape, [&](std::size_t cpu, std::size_t plain) { std::memcpy(canonical + plain, page + cpu, value_bytes); });
}

void copy_block_from_canonical(KvShape const& shape, std::byte const* canonical, std::byte* page) {
  std::size_t const value_bytes = std::size_t(bytes_per_value(shape.format));
  for_each_element(
      shape, [&](std::size_t cpu, std::size_t plain) { std::memcpy(page + cpu, canonical + plain, value_bytes); });
}

}  // namespace windlass
