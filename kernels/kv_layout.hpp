/// How K and V of 64 positions lie in a page.
///
/// A page holds one block (64 tokens) of one layer group as a slab [layer][k|v][kv_head] of tiles. Inside a tile
/// (d = head_dim, p = position in the block, little endian):
///
/// | layout | K | V |
/// | --- | --- | --- |
/// | canonical | [p][d] | [p][d] |
/// | cpu, f32  | f32 [d][p] | f32 [p][d] |
/// | cpu, bf16 | bf16 [d/2][p][d%2] | bf16 [p/2][d][p%2] |
///
/// Transfers between unlike backends and checkpoints use the canonical order; the cpu order is what the attention
/// kernels read with whole-vector loads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace windlass {

constexpr int block_tokens = 64;  ///< also the attention tile: one softmax maximum per 64 absolute positions

enum class KvFormat : std::uint8_t { f32, bf16 };
enum class KvLayoutId : std::uint8_t { canonical = 0, cpu_tiles = 1 };

constexpr int bytes_per_value(KvFormat format) { return format == KvFormat::f32 ? 4 : 2; }

/// The shape of the pages of one layer group on one rank.
struct KvShape {
  int layers = 0;    ///< in this group
  int kv_heads = 0;  ///< on this rank
  int head_dim = 0;  ///< multiple of 2
  KvFormat format = KvFormat::f32;

  constexpr std::size_t tile_bytes() const {
    return std::size_t(block_tokens) * std::size_t(head_dim) * std::size_t(bytes_per_value(format));
  }
  constexpr std::size_t page_bytes() const { return std::size_t(layers) * 2 * std::size_t(kv_heads) * tile_bytes(); }
  /// Offset of the K tile; the V tile of the same head lies kv_heads tiles further.
  constexpr std::size_t k_offset(int layer, int kv_head) const {
    return (std::size_t(layer) * 2 * std::size_t(kv_heads) + std::size_t(kv_head)) * tile_bytes();
  }
  constexpr std::size_t v_offset(int layer, int kv_head) const {
    return k_offset(layer, kv_head) + std::size_t(kv_heads) * tile_bytes();
  }
  bool operator==(KvShape const&) const = default;
};

/// The KV memory of one layer as the kernels see it: page `i` of the pool starts at base + i * shape.page_bytes().
struct KvView {
  std::byte* base = nullptr;
  KvShape shape;
  int layer = 0;  ///< index within the group
};

/// One sequence's part of a batch: rows [first_row, first_row + rows) are its consecutive positions from
/// first_position.
struct SequenceRows {
  int first_row = 0;
  int rows = 0;
  int first_position = 0;
  std::uint32_t const* pages =
      nullptr;  ///< page of each block of the sequence; entries behind the window are never read
};

}  // namespace windlass
