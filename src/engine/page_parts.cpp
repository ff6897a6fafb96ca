#include "src/engine/page_parts.hpp"

#include "src/engine/forward_pass.hpp"

namespace windlass {

std::vector<std::vector<PagePart>> page_parts(ModelSpec const& spec, InstanceDegrees degrees) {
  LayerGroups const groups = layer_groups(spec);
  std::vector<std::vector<PagePart>> parts(groups.windows.size());
  for (int stage = 0; stage < degrees.stages; ++stage)
    for (int rank = 0; rank < degrees.tp; ++rank) {
      Shard const shard =
          shard_of(spec, {.degree = degrees.tp, .rank = rank}, {.stages = degrees.stages, .stage = stage});
      auto const layers = parts_of_groups(groups, shard.layers);
      for (std::size_t group = 0; group < parts.size(); ++group)
        parts[group].push_back({.layers = layers[group], .kv_heads = shard.kv_heads});
    }
  return parts;
}

}  // namespace windlass
