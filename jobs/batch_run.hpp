/// One run of `windlass batch` on rank 0, from the loaded model to the last record.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "jobs/allocations.hpp"
#include "jobs/batch_checkpoint.hpp"
#include "jobs/batch_options.hpp"
#include "jobs/batch_output.hpp"
#include "jobs/cluster.hpp"
#include "jobs/console.hpp"
#include "jobs/drain_signals.hpp"
#include "jobs/engine_setup.hpp"
#include "jobs/trace_file.hpp"
#include "jobs/walltime.hpp"
#include "mpi/job.hpp"
#include "mpi/process_watch.hpp"
#include "src/serve/batch_job.hpp"
#include "src/serve/distributed_runner.hpp"
#include "src/serve/report.hpp"

namespace windlass {

/// How rank 0 came to the run.
struct BatchPlace {
  DrainSignals const& signals;
  MpiJob const& mpi;
  ProcessWatch& watch;
  std::function<void()> launcher_ended;  ///< on the watch's thread, once the job runs; must end the process
};

class BatchRun {
 public:
  /// Collective over the job. Locks the output.
  BatchRun(BatchOptions const& options, BatchPlace const& place);
  /// Without an end the others would wait for this rank.
  ~BatchRun();

  /// The exit code. Throws what the input, the output or the machine throw.
  int run();
  /// Ranks ended before their time: MPI_Finalize would wait for them.
  /// After run(), with everything closed: asks for another allocation where work remains and that is wanted.
  void requeue_if_wanted(int exit_code) const;
  bool has_losses() const { return rank_ended_; }
  /// In words; empty where nothing was lost.
  std::string losses() const;

 private:
  template <class Attempt>
  void together(Attempt attempt);
  void set_up();
  void open_checkpoint();
  void set_up_cluster(KvSharing& sharing);
  void announce() const;
  void count_allocation();
  BatchEnd answer(BatchInput& input, AnswerWriter& writer);
  std::exception_ptr end_cluster();
  void close(AnswerWriter& writer, std::exception_ptr& problem);
  BatchProgress progress(BatchInput const& input) const;
  void tell(BatchInput const& input, std::string const& status);
  std::optional<MachineShare> machine_share(BatchReport const& report);
  BatchReport make_report(BatchInput const& input, std::string const& status) const;
  void add_ranks(BatchReport& report) const;

  BatchOptions const& options_;
  BatchPlace const place_;
  ClusterPlan plan_;
  Walltime walltime_;
  std::unique_ptr<BatchOutput> output_;
  std::unique_ptr<EngineSetup> setup_;
  WeightReads weight_reads_;
  std::unique_ptr<AllocationLog> allocations_;
  BatchProgressMark end_mark_;
  std::unique_ptr<BatchCheckpoint> checkpoint_;  ///< where a folder is named; goes before the engine
  std::unique_ptr<TraceFile> trace_;             ///< with --trace
  std::unique_ptr<Cluster> cluster_;             ///< with several ranks
  std::unique_ptr<DistributedRunner> remote_;
  std::atomic<bool> rank_ended_ = false;
  EngineCounters engine_counters_;
  BatchLedger ledger_;
  ProgressConsole console_;
  std::int64_t run_errors_ = 0;
  Microseconds start_us_ = 0;
  double seconds_ = 0;
};

}  // namespace windlass
