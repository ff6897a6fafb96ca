/// The checkpoint folder of a batch: opened first, loaded when the engine is there, told of in the report.
#pragma once

#include <memory>
#include <optional>

#include "jobs/batch_options.hpp"
#include "jobs/engine_setup.hpp"
#include "src/serve/checkpoint_coordinator.hpp"
#include "src/serve/checkpoint_runner.hpp"
#include "src/serve/report.hpp"

namespace windlass {

/// What the engine's pages are, and what computed them.
CheckpointIdentity checkpoint_identity(EngineSetup const& setup);

class BatchCheckpoint {
 public:
  /// Opens and locks the folder that the options name. Throws what CheckpointFolder throws.
  BatchCheckpoint(BatchOptions const& options, int world_rank);

  /// For one rank among others: what its worker uses. Throws as make_runner() does.
  void make_checkpointer(BatchOptions const& options, EngineSetup& setup, bool carries);
  Checkpointer* checkpointer() { return checkpointer_.get(); }
  /// For the controller, on the rank that owns the folder.
  CheckpointCoordinator& make_coordinator(BatchOptions const& options, EngineSetup const& setup, Courier& courier);

  /// Makes the runner of a lone process, with what an earlier run left. Throws InputError where that is another run's.
  void make_runner(BatchOptions const& options, EngineSetup& setup);
  RequestRunner* runner() { return runner_.get(); }
  /// For the report, when the run is over.
  CheckpointSummary summary(EngineCounters const& engine) const;
  std::int64_t loaded_tokens() const { return loaded_tokens_; }  ///< of unfinished requests, at the start
  std::int64_t saved_tokens() const;                             ///< the same in the last checkpoint that was written
  /// Before the engine goes.
  void release_runner();

 private:
  std::optional<LoadedCheckpoint> load(BatchOptions const& options, CheckpointIdentity const& identity);

  CheckpointCounts counts() const;

  int const world_rank_;
  CheckpointFolder folder_;
  std::unique_ptr<CheckpointRunner> runner_;
  std::unique_ptr<KvStaging> staging_;  ///< of the leader of an instance of several ranks
  std::unique_ptr<Checkpointer> checkpointer_;
  std::unique_ptr<CheckpointCoordinator> coordinator_;
  CheckpointSummary summary_;
  std::int64_t loaded_tokens_ = 0;
};

}  // namespace windlass
