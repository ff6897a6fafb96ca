/// What answers a server's requests: this process's engine, or the instances of several ranks.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "jobs/cluster.hpp"
#include "jobs/serve_options.hpp"
#include "mpi/job.hpp"
#include "mpi/process_watch.hpp"
#include "src/serve/distributed_runner.hpp"

namespace windlass {

/// How rank 0 came to the server.
struct JobPlace {
  MpiJob const& mpi;
  ProcessWatch& watch;
  std::function<void()> launcher_ended;  ///< on the watch's thread, once the job runs; must end the process
};

class ServeBackend {
 public:
  /// Collective over the job. Throws InputError where the layout does not fit it.
  ServeBackend(ServeOptions const& options, JobPlace const& place);
  /// Without an end the others would wait for this rank.
  ~ServeBackend();
  ServeBackend(ServeBackend const&) = delete;
  ServeBackend& operator=(ServeBackend const&) = delete;

  int instances() const { return int(plan_.layout.instances.size()); }
  /// Collective over the job: models are loaded, and engines made. Throws InputError, FileError.
  void load();
  EngineSetup const& setup() const { return *setup_; }
  RequestRunner& runner() { return remote_ ? static_cast<RequestRunner&>(*remote_) : *local_; }
  /// Tells the other ranks to end. Nothing is asked of the runner behind it.
  void end();
  bool has_losses() const { return rank_ended_; }
  /// Of ranks that were lost; null: the server has one.
  Losses const* losses() const { return remote_ ? &remote_->losses() : nullptr; }
  /// How the ranks are used, for people; empty: there is one.
  std::string layout_text() const;

 private:
  void load_shard();
  void start(KvSharing& sharing);

  ServeOptions const& options_;
  JobPlace const place_;
  ClusterPlan const plan_;
  std::unique_ptr<EngineSetup> setup_;
  std::unique_ptr<EngineRunner> local_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<DistributedRunner> remote_;
  std::atomic<bool> rank_ended_ = false;
};

/// What another rank than 0 does until the server ends; the exit code.
int run_serve_worker(ServeOptions const& options, MpiJob const& job, ProcessWatch& watch);

}  // namespace windlass
