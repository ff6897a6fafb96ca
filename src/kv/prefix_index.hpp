/// Which blocks' KV lies in the pools, by the hash of everything up to the block's end.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <vector>

#include "src/core/hash.hpp"
#include "src/kv/layer_group.hpp"
#include "src/kv/sequence_pages.hpp"

namespace windlass {

/// How far the blocks of one sequence are known to be indexed, so that later blocks need no walk from the start.
struct PrefixCursor {
  int blocks = 0;
  std::uint64_t serial = 0;  ///< of the entry of block blocks - 1; tells when that was evicted
};

struct PrefixMatch {
  std::vector<BlockPages> blocks;  ///< retained for the caller; window groups: only what is visible after the last one
  PrefixCursor cursor;
};

/// A block of the index, as a checkpoint needs it.
struct IndexedBlock {
  Hash128 name, parent;  ///< parent: zero for the first block of a sequence
  std::array<TokenId, block_tokens> tokens{};
  BlockPages pages;
};

struct PrefixIndexCounters {
  std::int64_t hit_blocks = 0, missed_blocks = 0;  ///< of what match() was asked for
  std::int64_t evicted_pages = 0;
  std::int64_t collisions = 0;  ///< equal hashes of unlike content: never matched
};

/// A tree of blocks. Holds one reference on each indexed page. Evicts blocks that nobody uses, the one used longest ago
/// first: in full-attention groups whole leaves, in window groups any page (the block stays, without it). match() and
/// insert() take O(log n) per block, evict() O(log n) per page; a block that evict() finds in use counts as used then.
/// Local; one thread calls it.
class PrefixIndex {
 public:
  /// `groups` (1 .. max_layer_groups, each with a pool of its own) outlives the index.
  explicit PrefixIndex(std::span<LayerGroup const> groups);
  ~PrefixIndex() { clear(); }
  PrefixIndex(PrefixIndex const&) = delete;
  PrefixIndex& operator=(PrefixIndex const&) = delete;

  /// The longest usable prefix (usable_blocks) among the blocks called `hashes`, whose tokens `tokens` begins with.
  /// Tokens and predecessors are compared, so equal hashes of unlike content never match.
  PrefixMatch match(std::span<TokenId const> tokens, std::span<Hash128 const> hashes);

  /// Indexes the blocks called `hashes`, all computed, of a sequence: those from `cursor` on, or from the start where
  /// the cursor's block is gone. A block that is there already keeps its pages and gains those it lacks. Stops at a
  /// collision. Returns the number of blocks that are new.
  int insert(PrefixCursor& cursor, std::span<TokenId const> tokens, std::span<Hash128 const> hashes,
             SequencePages const& pages);

  /// Frees up to `pages_wanted` pages of a group's pool; returns how many were freed.
  int evict(int group, int pages_wanted);

  void clear();
  /// All blocks, those of the chain used last first, each after its parent. O(n log n).
  std::vector<IndexedBlock> contents() const;
  std::size_t blocks() const { return entries_.size(); }
  PrefixIndexCounters const& counters() const { return counters_; }

 private:
  struct Entry {
    Hash128 hash;
    Entry* parent = nullptr;  // null: first block of a sequence
    std::array<TokenId, block_tokens> tokens{};
    BlockPages pages;
    std::array<std::uint64_t, max_layer_groups> last_use{};
    std::uint64_t serial = 0;
    int children = 0;
  };

  bool is_full_attention(std::size_t group) const { return groups_[group].window_tokens == 0; }
  bool is_candidate(Entry const& entry, std::size_t group) const;
  void touch(Entry& entry, std::size_t group);
  void take_page(Entry& entry, std::size_t group, PageId page);
  void give_page(Entry& entry, std::size_t group);
  void add(Entry& entry, Entry* parent, std::span<TokenId const> tokens);
  void remove(Entry& entry);
  void remove_empty_leaves(Entry* entry);
  Entry* find(Hash128 hash, Entry const* parent, std::span<TokenId const> tokens);
  Entry* resume(PrefixCursor& cursor, std::span<Hash128 const> hashes);

  std::span<LayerGroup const> groups_;
  std::unordered_map<Hash128, Entry> entries_;
  /// Per group, by last use: leaves (full attention) or blocks with a page (window).
  std::array<std::map<std::uint64_t, Entry*>, max_layer_groups> candidates_;
  std::uint64_t uses_ = 0, serials_ = 0;
  PrefixIndexCounters counters_;
};

}  // namespace windlass
