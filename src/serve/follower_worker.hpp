/// The loop of a rank that follows the leader of its instance.
#pragma once

#include <optional>

#include "mpi/courier.hpp"
#include "src/engine/follower.hpp"
#include "src/serve/worker.hpp"

namespace windlass {

/// Everything must outlive it. One thread calls it.
class FollowerWorker {
 public:
  FollowerWorker(Follower& follower, Courier& courier, WorkerConfig const& config)
      : follower_(follower), courier_(courier), config_(config) {}

  /// Computes the leader's steps until the leader says that there are no more and the controller ends the job. Throws
  /// InstanceBroken where another rank of the instance is lost.
  WorkerEnd run();
  /// Ranks were given up: MPI is not to be finalised.
  bool knows_of_losses() const { return knows_of_losses_; }

 private:
  void trace(FollowerStep last, Microseconds begin_us);
  void take_messages(std::chrono::microseconds patience);

  Follower& follower_;
  Courier& courier_;
  WorkerConfig config_;
  std::optional<Shutdown> shutdown_;
  bool knows_of_losses_ = false;
};

}  // namespace windlass
