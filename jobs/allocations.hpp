/// A batch over several allocations: how many there were, whether they got further, and the next one.
#pragma once

#include <cstdint>
#include <string>

#include "mpi/launcher.hpp"
#include "src/policy/plan_log.hpp"

namespace windlass {

/// How far a batch is. Each allocation that ends with more of either has made progress.
struct BatchProgressMark {
  std::int64_t records = 0;       ///< in the output
  std::int64_t saved_tokens = 0;  ///< of unfinished requests, in the checkpoint
};

/// The file OUTPUT.windlass.allocations.json, which survives every requeue.
class AllocationLog {
 public:
  /// Counts this allocation: `now` is compared with where the one before began. An empty path (answers go to a pipe):
  /// nothing is kept. Throws FileError.
  AllocationLog(std::string const& output_path, BatchProgressMark const& now);

  int allocations() const { return allocations_; }  ///< this one included
  /// In a row, this one included where it ends with `end`.
  int without_progress(BatchProgressMark const& end) const;

 private:
  BatchProgressMark begin_;
  int allocations_ = 1, without_progress_ = 0;
};

enum class RequeueResult : std::uint8_t { requeued, no_batch_system, no_progress, refused };

/// Asks Slurm to run this job again. The last thing that a job does: Slurm kills it then. `plan_log` may be null.
RequeueResult requeue_job(EnvironmentLookup const& environment, int without_progress, PlanLog* plan_log);

}  // namespace windlass
