#include "src/sim/prefix_cache.hpp"

namespace windlass {

std::size_t PrefixCache::match(std::span<std::uint64_t const> hashes) const {
  std::size_t matched = 0;
  while (matched < hashes.size() && blocks_.contains(hashes[matched])) ++matched;
  return matched;
}

void PrefixCache::insert(std::span<std::uint64_t const> hashes) {
  for (std::size_t i = 0; i < hashes.size() && capacity_ > 0; ++i) {
    auto found = blocks_.find(hashes[i]);
    if (found == blocks_.end()) {
      if (blocks_.size() == capacity_) evict_one();
      found = blocks_.emplace(hashes[i], BlockUse{.last_use = 0, .uses = 0, .position = std::int64_t(i)}).first;
    } else {
      order_.erase({eviction_rank(rule_, found->second), hashes[i]});
    }
    found->second.last_use = uses_++;
    ++found->second.uses;
    order_.insert({eviction_rank(rule_, found->second), hashes[i]});
  }
}

void PrefixCache::evict_one() {
  auto const first = order_.begin();
  blocks_.erase(first->second);
  order_.erase(first);
}

}  // namespace windlass
