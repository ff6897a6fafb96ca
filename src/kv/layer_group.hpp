/// Layers that keep the same tokens share pages: the groups of a model, and what attention windows need of them.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <span>

#include "kernels/kv_layout.hpp"
#include "src/core/ids.hpp"

namespace windlass {

class PagePool;

constexpr int max_layer_groups = 4;

struct LayerGroup {
  PagePool* pool = nullptr;  ///< outlives everything that holds the group
  int window_tokens = 0;     ///< positions that a row sees, its own included; 0: all (full attention)
};

/// The pages of one block, one per layer group; a window group may have none.
using BlockPages = std::array<std::optional<PageId>, max_layer_groups>;

constexpr int blocks_for(int positions) { return (positions + block_tokens - 1) / block_tokens; }

/// The first block that the row at `position` reads.
constexpr int first_visible_block(int position, int window_tokens) {
  return window_tokens == 0 ? 0 : std::max(0, position - window_tokens + 1) / block_tokens;
}

/// The longest prefix, in blocks, after which a sequence can go on: the largest n such that every group has all pages
/// that the row at position n * block_tokens (and so every later one) reads of blocks [0, n). `found` is block by block
/// from the start; groups beyond groups.size() are not looked at.
int usable_blocks(std::span<BlockPages const> found, std::span<LayerGroup const> groups);

}  // namespace windlass
