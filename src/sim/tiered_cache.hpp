/// The blocks of one instance in tiers: what one tier drops goes to the next, what is used comes to the first.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "src/sim/prefix_cache.hpp"

namespace windlass {

class TieredCache {
 public:
  /// Capacities in blocks, the fastest tier first.
  TieredCache(std::vector<std::size_t> const& capacities, EvictionRule rule);

  /// How many blocks from the start of `hashes` are in any tier.
  std::size_t match(std::span<std::uint64_t const> hashes) const;

  /// The tier of each of the matched blocks, in order.
  std::vector<std::uint8_t> tiers_of(std::span<std::uint64_t const> hashes) const;

  /// Uses or adds every block in the first tier.
  void insert(std::span<std::uint64_t const> hashes);

  std::size_t size(std::size_t tier) const { return tiers_[tier].size(); }

 private:
  std::vector<PrefixCache> tiers_;
};

}  // namespace windlass
