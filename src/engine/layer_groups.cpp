#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/engine/forward_pass.hpp"

namespace windlass {

LayerGroups layer_groups(ModelSpec const& spec) {
  LayerGroups groups;
  for (LayerSpec const& layer : spec.layers) {
    auto at = std::find(groups.windows.begin(), groups.windows.end(), layer.window);
    if (at == groups.windows.end()) {
      at = groups.windows.insert(at, layer.window);
      groups.layers.push_back(0);
    }
    auto const group = std::size_t(at - groups.windows.begin());
    groups.group.push_back(int(group));
    groups.index.push_back(groups.layers[group]++);
  }
  if (groups.windows.size() > std::size_t(max_layer_groups))
    throw InputError(text("the model has ", groups.windows.size(), " different attention windows; at most ",
                          max_layer_groups, " are supported"));
  return groups;
}

std::vector<IndexRange> parts_of_groups(LayerGroups const& groups, IndexRange layers) {
  std::vector<IndexRange> parts(groups.windows.size());
  for (int layer = 0; layer < layers.end; ++layer) {
    IndexRange& part = parts[std::size_t(groups.group[std::size_t(layer)])];
    ++part.end;
    if (layer < layers.begin) ++part.begin;
  }
  return parts;
}

KvFormat kv_format(Precision precision, Operations const& operations) {
  return precision == Precision::f32 ? KvFormat::f32 : operations.fast_kv;
}

}  // namespace windlass
