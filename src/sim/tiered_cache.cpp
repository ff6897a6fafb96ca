#include "src/sim/tiered_cache.hpp"

namespace windlass {

TieredCache::TieredCache(std::vector<std::size_t> const& capacities, EvictionRule rule) {
  for (std::size_t const capacity : capacities) tiers_.emplace_back(capacity, rule);
}

std::size_t TieredCache::match(std::span<std::uint64_t const> hashes) const {
  return tiers_.size() == 1 ? tiers_[0].match(hashes) : tiers_of(hashes).size();
}

std::vector<std::uint8_t> TieredCache::tiers_of(std::span<std::uint64_t const> hashes) const {
  std::vector<std::uint8_t> found;
  for (std::uint64_t const hash : hashes) {
    std::size_t tier = 0;
    while (tier < tiers_.size() && !tiers_[tier].contains(hash)) ++tier;
    if (tier == tiers_.size()) break;
    found.push_back(std::uint8_t(tier));
  }
  return found;
}

void TieredCache::insert(std::span<std::uint64_t const> hashes) {
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    for (std::size_t tier = 1; tier < tiers_.size(); ++tier) tiers_[tier].remove(hashes[i]);
    auto dropped = tiers_[0].use({hashes[i], std::int64_t(i)});
    for (std::size_t tier = 1; dropped && tier < tiers_.size(); ++tier) dropped = tiers_[tier].use(*dropped);
  }
}

}  // namespace windlass
