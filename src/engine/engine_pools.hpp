/// The page pools of one rank of an instance.
#pragma once

#include <memory>
#include <vector>

#include "src/core/collective.hpp"
#include "src/engine/engine.hpp"

namespace windlass {

/// One pool per layer group, of this rank's layers and KV heads. On several ranks collective: all get as many pages as
/// the one that can hold fewest. Throws InputError where there is no room for one page.
std::vector<std::unique_ptr<PagePool>> make_pools(Model const& model, EngineConfig const& config,
                                                  Operations const& operations, Collective& collective);

std::vector<LayerGroup> make_groups(Model const& model, std::vector<std::unique_ptr<PagePool>> const& pools);

}  // namespace windlass
