/// The blocks that one instance keeps, by the hash of their prefix.
#pragma once

#include <cstdint>
#include <optional>
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
  bool contains(std::uint64_t hash) const { return blocks_.contains(hash); }

  /// A block and its place in the prompt.
  struct PlacedBlock {
    std::uint64_t hash;
    std::int64_t position;
  };

  /// Uses or adds one block. What had to go for it; the block itself where the pool holds nothing.
  std::optional<PlacedBlock> use(PlacedBlock block);
  void remove(std::uint64_t hash);

 private:
  PlacedBlock evict_one();

  std::size_t capacity_;
  EvictionRule rule_;
  std::int64_t uses_ = 0;  ///< of any block: the clock of last_use
  std::unordered_map<std::uint64_t, BlockUse> blocks_;
  std::set<std::pair<EvictionRank, std::uint64_t>> order_;
};

}  // namespace windlass
