#include "src/sim/prefix_cache.hpp"

namespace windlass {

std::size_t PrefixCache::match(std::span<std::uint64_t const> hashes) const {
  std::size_t matched = 0;
  while (matched < hashes.size() && blocks_.contains(hashes[matched])) ++matched;
  return matched;
}

void PrefixCache::insert(std::span<std::uint64_t const> hashes) {
  for (std::size_t i = 0; i < hashes.size() && capacity_ > 0; ++i) use({hashes[i], std::int64_t(i)});
}

std::optional<PrefixCache::PlacedBlock> PrefixCache::use(PlacedBlock block) {
  if (capacity_ == 0) return block;
  std::optional<PlacedBlock> evicted;
  auto found = blocks_.find(block.hash);
  if (found == blocks_.end()) {
    if (blocks_.size() == capacity_) evicted = evict_one();
    found = blocks_.emplace(block.hash, BlockUse{.last_use = 0, .uses = 0, .position = block.position}).first;
  } else {
    order_.erase({eviction_rank(rule_, found->second), block.hash});
  }
  found->second.last_use = uses_++;
  ++found->second.uses;
  order_.insert({eviction_rank(rule_, found->second), block.hash});
  return evicted;
}

void PrefixCache::remove(std::uint64_t hash) {
  auto const found = blocks_.find(hash);
  if (found == blocks_.end()) return;
  order_.erase({eviction_rank(rule_, found->second), hash});
  blocks_.erase(found);
}

PrefixCache::PlacedBlock PrefixCache::evict_one() {
  auto const first = order_.begin();
  PlacedBlock const gone{first->second, blocks_.at(first->second).position};
  blocks_.erase(gone.hash);
  order_.erase(first);
  return gone;
}

}  // namespace windlass
