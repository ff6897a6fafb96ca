#include "src/policy/eviction.hpp"

#include <algorithm>
#include <numeric>

namespace windlass {

EvictionRank eviction_rank(EvictionRule rule, BlockUse const& use) {
  switch (rule) {
    case EvictionRule::least_recent:
      return {0, use.last_use};
    case EvictionRule::least_frequent:
      return {use.uses, use.last_use};
    case EvictionRule::deepest_first:
      return {-use.position, use.last_use};
  }
  return {};
}

EvictionPlan plan_eviction(EvictionInput const& in) {
  std::vector<std::size_t> order(in.blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return eviction_rank(in.rule, in.blocks[a]) < eviction_rank(in.rule, in.blocks[b]);
  });
  bool const enough = order.size() >= in.needed;
  if (enough) order.resize(in.needed);
  return {.evicted = std::move(order), .stop = enough ? EvictionStop::enough : EvictionStop::too_few_blocks};
}

}  // namespace windlass
