#include "src/engine/engine_pools.hpp"

#include <algorithm>
#include <cstring>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/engine/forward_pass.hpp"
#include "src/kv/page_pool.hpp"

namespace windlass {
namespace {

std::uint32_t least_of_all(Collective& collective, std::uint32_t own) {
  if (collective.degree() == 1) return own;
  std::memcpy(collective.outbox(), &own, sizeof own);
  std::vector<std::size_t> const bytes(std::size_t(collective.degree()), sizeof own);
  for (std::byte const* const from : collective.exchange(bytes)) {
    std::uint32_t other = 0;
    std::memcpy(&other, from, sizeof other);
    own = std::min(own, other);
  }
  return own;
}

}  // namespace

std::vector<std::unique_ptr<PagePool>> make_pools(Model const& model, EngineConfig const& config,
                                                  Operations const& operations, Collective& collective) {
  std::vector<KvShape> shapes;
  std::size_t block_bytes = 0;
  for (IndexRange const& layers : parts_of_groups(layer_groups(model.spec), model.shard.layers)) {
    shapes.push_back({.layers = layers.size(),
                      .kv_heads = model.shard.kv_heads.size(),
                      .head_dim = model.spec.head_dim,
                      .format = kv_format(config.precision, operations)});
    block_bytes += shapes.back().page_bytes();
  }
  auto const possible = std::size_t(config.kv_bytes) / block_bytes;
  auto const pages = least_of_all(collective, std::uint32_t(std::min<std::size_t>(possible, UINT32_MAX)));
  if (pages == 0)
    throw InputError(text("the KV pool of ", config.kv_bytes, " bytes cannot hold one page of ", block_tokens,
                          " tokens (", block_bytes, " bytes); give it more memory"));
  bool const leads_others = collective.degree() > 1 && collective.instance_rank() == 0;
  std::vector<std::unique_ptr<PagePool>> pools;
  for (KvShape const& shape : shapes) {
    PagePoolConfig wanted{.shape = shape,
                          .pages = pages,
                          .changes = leads_others ? PageChanges::recorded : PageChanges::forgotten,
                          .space = operations.memory};
    bool const can_be_shared = operations.memory->space == MemorySpace::host;
    if (config.pool_memory && can_be_shared) wanted.memory = config.pool_memory(int(pools.size()), wanted);
    pools.push_back(std::make_unique<PagePool>(wanted));
  }
  return pools;
}

std::vector<LayerGroup> make_groups(Model const& model, std::vector<std::unique_ptr<PagePool>> const& pools) {
  std::vector<LayerGroup> groups;
  for (std::size_t i = 0; i < pools.size(); ++i)
    groups.push_back({.pool = pools[i].get(), .window_tokens = layer_groups(model.spec).windows[i]});
  return groups;
}

}  // namespace windlass
