/// The blocks that one instance keeps, by the hash of their prefix.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>

#include "src/policy/eviction.hpp"

namespace windlass {

class PrefixCache {
 public:
  PrefixCache(std::size_t capacity_blocks, EvictionRule rule) : capacity_(capacity_blocks), rule_(rule) {}

  /// How many blocks from the start of `hashes` are here.
  std::size_t match(std::span<std::uint64_t const> hashes) const;

  /// Uses or adds every block, the first first; evicts by the rule where the pool is full.
  void insert(std::span<std::uint64_t const> hashes);

  std::size_t size() const { return blocks_.size(); }

 private:
  void evict_one();

  std::size_t capacity_;
  EvictionRule rule_;
  std::int64_t uses_ = 0;  ///< of any block: the clock of last_use
  std::unordered_map<std::uint64_t, BlockUse> blocks_;
  std::set<std::pair<EvictionRank, std::uint64_t>> order_;
};

}  // namespace windlass
