#include "src/kv/layer_group.hpp"

namespace windlass {

int usable_blocks(std::span<BlockPages const> found, std::span<LayerGroup const> groups) {
  std::array<int, max_layer_groups> run{};  // blocks present without a gap up to the block looked at
  int usable = 0;
  for (int n = 1; n <= int(found.size()); ++n) {
    bool complete = true;
    for (std::size_t group = 0; group < groups.size(); ++group) {
      run[group] = found[std::size_t(n) - 1][group] ? run[group] + 1 : 0;
      int const needed = n - std::min(n, first_visible_block(n * block_tokens, groups[group].window_tokens));
      complete = complete && run[group] >= needed;
    }
    if (complete) usable = n;
  }
  return usable;
}

}  // namespace windlass
