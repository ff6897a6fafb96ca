/// When this job is killed, as far as anybody tells.
#pragma once

#include <optional>
#include <string>

#include "jobs/drain_signals.hpp"
#include "mpi/launcher.hpp"
#include "src/core/clock.hpp"
#include "src/serve/batch_job.hpp"

namespace windlass {

struct WalltimeConfig {
  double time_left_s = 0;     ///< that the user knows of; 0: ask the batch system
  Microseconds drain_us = 0;  ///< that SIGTERM leaves
};

/// The end of the allocation, on the job clock.
class Walltime {
 public:
  /// Asks Slurm (SLURM_JOB_END_TIME, else scontrol, at most 10 s) where the job is one of Slurm's and no time is given.
  Walltime(WalltimeConfig const& config, EnvironmentLookup const& environment, DrainSignals const& signals);

  /// The last write is over some seconds before the end. A signal without other knowledge, and any SIGTERM, means 30 s
  /// until everything is on disk, and `drain_us` for the requests that run; SIGUSR1 under a known end only says that it
  /// comes.
  TimeLimits limits() const;
  std::string const& source() const { return source_; }  ///< who knows; empty: nobody
  std::optional<double> seconds_left() const;            ///< at the start

 private:
  WalltimeConfig config_;
  DrainSignals const& signals_;
  Microseconds end_us_ = never_us;
  std::string source_;
};

/// The value of EndTime in what `scontrol show job` prints, in seconds since 1970; nothing where there is none or it is
/// "Unknown". Local time, as Slurm prints it.
std::optional<std::int64_t> end_time_of(std::string const& scontrol_output);

struct ToolResult {
  bool succeeded = false;
  std::string words;  ///< standard output and error
};

/// Runs a command of the batch system, for 20 s at most.
ToolResult run_tool(std::string const& command);

}  // namespace windlass
