/// Whole pages for the checkpoints of an instance whose ranks have parts of them.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>

#include "src/engine/kv_staging.hpp"
#include "src/engine/snapshot.hpp"
#include "src/store/checkpoint_folder.hpp"

namespace windlass {

/// Checkpoints of all degrees hold the same bytes. The leader's engine thread puts pages together and takes them apart
/// between two steps, a few at a time; the writing thread asks for them.
class WholePages {
 public:
  explicit WholePages(KvStaging& staging) : staging_(staging) {}  ///< which must outlive it

  // The engine's thread; collective over the instance (the others take part in Follower::step).
  /// Makes the bytes of partial pages whole; before the next step.
  void complete(EngineSnapshot& snapshot);
  /// Gives fetch() what it waits for; waits for its question so long.
  void serve(Microseconds patience_us);
  struct Wanted {
    PageName name;
    PageId page{};  ///< the engine's, to be filled
    PageReader::Result result = PageReader::Result::missing;
  };
  void read(CheckpointFolder& folder, std::span<Wanted> pages, ThreadTeam& team);

  // The writing thread.
  /// WriteManner::fetch: returns 0 after stop().
  std::size_t fetch(std::span<PageToSave> pages);

  void stop();  ///< any thread

 private:
  void read(CheckpointFolder& folder, std::span<Wanted* const> pages, StagedPages const& staged, ThreadTeam& team);

  KvStaging& staging_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::span<PageToSave> asked_;  // under the mutex, as all that follows
  std::size_t given_ = 0;
  bool stopped_ = false;
  std::unique_ptr<StagedPages> staged_;  ///< what fetch() got last
};

}  // namespace windlass
