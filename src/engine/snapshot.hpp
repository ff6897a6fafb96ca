/// What an engine has done so far, for a checkpoint, and the way back into another engine.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <variant>
#include <vector>

#include "src/core/hash.hpp"
#include "src/core/thread_team.hpp"
#include "src/engine/handoff.hpp"

namespace windlass {

/// The state between two steps. Full pages are pinned, not copied: nobody writes to them again, so they may be read
/// from any thread while the engine goes on. Partial ones are copied, since their sequences write there. Made and
/// destroyed on the engine's thread, before the engine is.
class EngineSnapshot {
 public:
  struct Block {
    Hash128 name, parent;  ///< parent: zero for the first block of a sequence
    std::array<TokenId, block_tokens> tokens{};
    BlockPages pages;  ///< each with a reference of the snapshot
  };
  struct Choice {
    DetachedChoice progress;
    int computed = 0;            ///< leading tokens of prompt and progress whose KV is in blocks and `partial`
    std::vector<Hash128> names;  ///< of the full blocks among them
    std::array<std::vector<std::byte>, max_layer_groups> partial;  ///< the last page's bytes; empty: none
    BlockPages partial_pages;                                      ///< where they were; known until the next step
  };
  struct InProgress {
    Request request;
    Answer answer;
    std::vector<Choice> choices;  ///< started, unfinished ones
    int unfinished = 0;
  };

  explicit EngineSnapshot(std::span<LayerGroup const> groups) : groups_(groups) {}
  ~EngineSnapshot();
  EngineSnapshot(EngineSnapshot const&) = delete;
  EngineSnapshot& operator=(EngineSnapshot const&) = delete;

  std::span<LayerGroup const> groups() const { return groups_; }

  std::vector<InProgress> requests;
  std::vector<Block> blocks;  ///< each after its parent; those that running requests need come first, then by last use

 private:
  std::span<LayerGroup const> groups_;
};

/// A request that goes on where another engine was.
struct SavedProgress {
  struct Choice {
    DetachedChoice progress;
    int computed = 0;
  };
  Request request;
  Answer answer;
  std::vector<Choice> choices;
  int unfinished = 0;
};

/// Pages that an earlier engine wrote. Called on the engine's thread.
class PageArchive {
 public:
  struct Block {
    Hash128 name, parent;             ///< parent: zero for the first block
    std::span<TokenId const> tokens;  ///< [block_tokens]
  };
  struct Partial {
    int choice = 0, computed = 0;  ///< of the request that is restored
  };
  struct Page {
    int group = 0;
    std::variant<Block, Partial> of;
    PageId page{};               ///< of the engine's pool, to be filled
    std::span<std::byte> bytes;  ///< its bytes [page_bytes of the group]
    bool is_read = false;        ///< else it is missing, damaged or of other tokens, and is recomputed
  };
  virtual ~PageArchive() = default;
  virtual bool holds(Block const& block) const = 0;
  /// Reads what it has of them, on the team's threads.
  virtual void read(std::span<Page> pages, ThreadTeam& team) = 0;
};

/// Tokens whose KV came back, and those that must be computed again.
struct RestoredTokens {
  std::int64_t restored = 0, recomputed = 0;
};

}  // namespace windlass
