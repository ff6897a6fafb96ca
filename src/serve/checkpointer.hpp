/// One engine's checkpoints: what it did goes to a folder while it goes on, and comes back in a later run.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "src/core/clock.hpp"
#include "src/engine/engine.hpp"
#include "src/policy/plan_log.hpp"
#include "src/policy/walltime.hpp"
#include "src/serve/folder_archive.hpp"
#include "src/store/checkpoint_folder.hpp"

namespace windlass {

enum class CheckpointHaste : std::uint8_t {
  background,  ///< at the rate that leaves the engine its speed
  at_once      ///< the engine waits anyway
};

struct CheckpointerConfig {
  std::uint64_t background_bytes_per_s = 0;  ///< 0: no limit
  std::vector<int> cpus = {};                ///< where the writing thread may run; empty: where the engine's does
  bool carries =
      true;  ///< what was loaded and nobody has asked for yet stays in the next checkpoint (one rank does it)
  KvStaging* staging = nullptr;  ///< of an instance of several ranks
  /// Called on the writing thread when the part is on disk; what it throws is the checkpoint's failure.
  std::function<void(std::uint64_t number, StoredPart const& part)> on_stored = {};
  PlanLog* plan_log = nullptr;  ///< gets the choice of what is saved at the end
};

/// One thread calls it, the engine's.
class Checkpointer {
 public:
  /// `engine` and `folder` must outlive it.
  Checkpointer(Engine& engine, CheckpointFolder& folder, CheckpointIdentity identity, CheckpointerConfig config);
  ~Checkpointer();

  /// What an earlier run left; before the first submit().
  void take(LoadedCheckpoint loaded);
  std::size_t saved_requests() const { return saved_.size(); }
  /// Instead of Engine::submit(): a request that was in progress goes on, others get what is known of their beginning.
  void submit(Request request);
  /// Another engine answers this request: it is not carried on.
  void forget(Request const& request);
  /// No request will come any more: what nobody asked for was answered before.
  void forget_unclaimed() { saved_.clear(); }

  /// Requests that are on their way to another engine belong to this one's checkpoint until they have arrived.
  using Travelling = std::function<std::vector<DetachedRequest const*>()>;
  void set_travelling(Travelling travelling) { travelling_ = std::move(travelling); }

  /// Begins to write what the engine has done. False while an earlier checkpoint is still being written. At the end of
  /// a job (at_once) what is cheaper computed again, or would not be on disk before `until_us`, is left out.
  bool begin(std::uint64_t number, CheckpointHaste haste, Microseconds until_us = never_us);
  /// How long begin(at_once) would take to write what unfinished requests hold.
  Microseconds save_us();
  bool writing() const { return writing_ != nullptr; }
  struct Outcome {
    std::uint64_t number = 0;
    std::string problem;  ///< not empty: nothing was written
    std::optional<StoredPart> part;
  };
  /// Once per begin(), when it is over.
  std::optional<Outcome> poll();
  /// The same, waiting for it, without a limit to its rate.
  std::optional<Outcome> wait();

  CheckpointCounts const& counts() const { return counts_; }
  CheckpointIdentity const& identity() const { return identity_; }

 private:
  struct Writing;
  CheckpointContent content_of(EngineSnapshot const& snapshot, std::vector<SaveChoice> const& choices) const;
  std::vector<SaveChoice> choose(EngineSnapshot const& snapshot, Microseconds time_us);
  std::uint64_t bytes_of_block() const;
  void carry_on(CheckpointContent& content) const;
  PageToSave page_to_save(PageName const& name, LayerGroup const& group, PageId page) const;
  void write(Writing& writing);
  std::optional<Outcome> finish();

  Engine& engine_;
  CheckpointFolder& folder_;
  CheckpointIdentity identity_;
  CheckpointerConfig config_;
  std::multimap<Hash128, SavedRequest> saved_;  ///< not submitted yet
  ArchivedBlocks archived_;                     ///< of the loaded checkpoint
  std::vector<Hash128> archive_order_;          ///< parents first
  std::unique_ptr<WholePages> whole_;           ///< where the engine's pages are parts
  std::unique_ptr<Writing> writing_;
  Travelling travelling_;
  CheckpointCounts counts_;
};

/// The name of a request: of all that it asks for, so that equal names have equal answers.
Hash128 request_name(Request const& request);

/// Computed and generated tokens, of all choices.
std::int64_t tokens_of(std::vector<SavedRequest> const& requests);

/// What the whole pages of this engine's model are.
std::vector<CheckpointGroup> checkpoint_groups(Engine const& engine, ModelSpec const& spec);

}  // namespace windlass
