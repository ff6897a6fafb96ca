/// Checkpoints of several ranks: one part each, made into one checkpoint when all are on disk.
#pragma once

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "mpi/courier.hpp"
#include "src/serve/checkpointer.hpp"

namespace windlass {

struct CheckpointCoordinatorConfig {
  Microseconds interval_us = 0;                      ///< between two checkpoints; 0: only at the end
  std::map<std::string, std::string> configuration;  ///< of the job, for the checkpoint
};

/// The controller's side. One thread calls it.
class CheckpointCoordinator {
 public:
  /// `courier` and `folder` (an owner) must outlive it.
  CheckpointCoordinator(Courier& courier, CheckpointFolder& folder, CheckpointIdentity identity,
                        CheckpointCoordinatorConfig config);

  /// Begins a checkpoint where one is due. `leaders`: ranks that live and compute.
  void tick(std::span<int const> leaders);
  /// Orders a part of every leader; false while an earlier checkpoint is on its way.
  bool begin(std::span<int const> leaders, CheckpointHaste haste, Microseconds until_us);
  void take(Envelope const& envelope);  ///< a CheckpointPart
  void lose(int world_rank);            ///< its part will not come
  bool busy() const { return !missing_.empty(); }
  /// No request will come any more.
  void input_ended(std::span<int const> leaders);
  /// How long the rank with the most pages in use would write them.
  Microseconds save_us(std::span<int const> leaders);
  CheckpointCounts counts() const;  ///< of all ranks

 private:
  void finish();

  Courier& courier_;
  CheckpointFolder& folder_;
  CheckpointIdentity identity_;
  CheckpointCoordinatorConfig config_;
  std::uint64_t number_;
  bool last_ = false;
  std::set<int> missing_;  ///< ranks whose part is not on disk yet
  std::string problem_;
  std::vector<std::string> parts_;
  std::vector<std::uint64_t> digests_;
  std::map<int, CheckpointCounts> counts_;
  Microseconds next_us_, next_sign_us_ = 0;
};

}  // namespace windlass
