/// Which cached blocks go first when a pool is full.
#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <vector>

namespace windlass {

enum class EvictionRule : std::uint8_t {
  least_recent,    ///< LRU
  least_frequent,  ///< LFU while cached; the least recent among equals
  deepest_first,   ///< the block furthest from the start of its prompt (Mooncake's LengthAware); then the least recent
};

struct BlockUse {
  std::int64_t last_use;  ///< a counter of uses, or a time
  std::int64_t uses;      ///< since it was cached
  std::int64_t position;  ///< of the block in its prompt, 0 first
};

/// The smallest rank goes first.
struct EvictionRank {
  std::int64_t first, second;
  auto operator<=>(EvictionRank const&) const = default;
};
EvictionRank eviction_rank(EvictionRule rule, BlockUse const& use);

struct EvictionInput {
  EvictionRule rule;
  std::span<BlockUse const> blocks;  ///< that may go: nobody reads them
  std::size_t needed;
};

enum class EvictionStop : std::uint8_t { enough, too_few_blocks };

struct EvictionPlan {
  std::vector<std::size_t> evicted;  ///< indices, the first to go first
  EvictionStop stop;
};

/// The `needed` blocks of lowest rank; ties go to the lower index. Local, pure, no errors. Source: Mooncake, table 1.
EvictionPlan plan_eviction(EvictionInput const& in);

}  // namespace windlass
