/// Which part of a whole KV page each rank of an instance holds.
#pragma once

#include <vector>

#include "src/model/shard.hpp"

namespace windlass {

/// Of the pages of one layer group: where the ranges of two ranks overlap, they hold the same KV.
struct PagePart {
  IndexRange layers;    ///< positions within the group; empty: its stage has none of them
  IndexRange kv_heads;  ///< of each layer
  bool operator==(PagePart const&) const = default;
};

/// Ranks of an instance: rank r is rank r % tp of stage r / tp.
struct InstanceDegrees {
  int tp = 1, stages = 1;
};

/// [groups][ranks]
std::vector<std::vector<PagePart>> page_parts(ModelSpec const& spec, InstanceDegrees degrees);

}  // namespace windlass
