/// The ranks of a job as instances: who does what, what each one is given, and how KV moves between them.
#pragma once

#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "jobs/engine_setup.hpp"
#include "mpi/collectives.hpp"
#include "mpi/courier.hpp"
#include "mpi/job.hpp"
#include "mpi/job_map.hpp"
#include "mpi/kv_exchange.hpp"
#include "src/core/error.hpp"
#include "src/policy/layout_plan.hpp"
#include "src/serve/follower_worker.hpp"
#include "src/serve/report.hpp"
#include "src/serve/worker.hpp"

namespace windlass {

/// Who does what. The same on every rank.
struct ClusterPlan {
  JobMap map;
  LayoutPlan layout;
  int world_rank = 0;
  std::uint64_t job_epoch = 0;
  bool traced = false;  ///< every rank tells the controller what it does

  /// The instance that this rank computes for; null: it is spare, or the controller alone.
  PlannedInstance const* own_instance() const;
  bool is_spare(int rank) const;
  /// Whether this rank loads the model: a spare rank takes over at once.
  bool computes() const { return own_instance() != nullptr || is_spare(world_rank); }
  EnginePlace own_place() const;
  InstanceRanks own_ranks() const;
  /// One rank keeps in the next checkpoint what nobody has asked for yet.
  bool carries_checkpoint() const { return layout.instances.front().ranks.front() == world_rank; }
  bool hands_over_kv() const;  ///< there are prefill instances
};

/// Collective over the job. Throws the same InputError on every rank where the layout cannot be.
ClusterPlan plan_cluster(MpiJob const& job, Layout const& wanted);

/// Collective over the job: ranks of a host that hold the same shard get memory for one copy of it.
std::optional<SharedWeights> share_weights(ClusterPlan const& plan, ModelConfig const& config);

/// Collective: every rank says what is wrong with it (nothing: empty). Throws one InputError that names the first rank
/// with a problem on all of them, so that all leave together.
void agree(MpiJob const& job, std::string const& problem);
/// Collective: [world ranks] what each rank says.
std::vector<std::string> say(MpiJob const& job, std::string const& words);
/// Collective: a problem of one rank is everybody's, so that all reach the same collective calls, or leave together.
/// Throws its own problem where this rank has one, else agree()'s.
template <class Attempt>
void together(MpiJob const& job, Attempt attempt) {
  std::exception_ptr own;
  std::string words;
  try {
    attempt();
  } catch (std::exception const& error) {
    own = std::current_exception();
    words = error.what();
  }
  try {
    agree(job, words);
  } catch (InputError const&) {
    if (own) std::rethrow_exception(own);
    throw;
  }
}

/// Collective: what rank 0 says.
std::string from_rank_0(MpiJob const& job, std::string const& words);
/// Collective: throws on every rank where ranks with an engine differ in `words` (model and arithmetic).
void agree_on(MpiJob const& job, std::string const& words);

/// Collective: what the ranks of the job have read of the model. `setup` is null on a rank that has loaded nothing.
WeightReads gather_weight_reads(MpiJob const& job, EngineSetup const* setup);

/// What agree_on() compares.
std::string model_and_arithmetic(EngineSetup const& setup);

class KvSharing;

/// The running job of one rank: its courier, its transport, its worker.
class Cluster {
 public:
  /// Collective over the job. `setup` is null on a rank that computes nothing, and outlives this. `sharing` is
  /// connected.
  Cluster(MpiJob const& job, ClusterPlan const& plan, EngineSetup const* setup, KvSharing& sharing);
  ~Cluster();

  Courier& courier() { return *courier_; }
  std::string const& transport_name() const { return transport_name_; }
  double link_gb_per_s() const { return link_gb_per_s_; }  ///< see KvSharing
  /// The transport of KV that does not change hands inside a machine; empty where no KV has to move.
  char const* copying_transport() const { return transport_ ? windlass::transport_name(transport_->kind()) : ""; }
  KvCounters kv_counters() const { return exchange_ ? exchange_->counters() : KvCounters{}; }

  /// Before the worker runs; it must outlive that. Nothing where this rank has no worker.
  void set_checkpointer(Checkpointer* checkpointer) {
    if (worker_) worker_->set_checkpointer(checkpointer);
  }
  /// The worker's loop on a thread of its own (rank 0, beside the controller); without an instance nothing.
  void start_worker();
  void join_worker();
  /// The worker's loop until the controller ends it; without an instance it waits for that end.
  WorkerEnd run_worker();
  /// Ranks were lost: the process has to leave by _exit, MPI_Finalize would wait for them.
  bool has_losses() const;

 private:
  WorkerEnd work();

  std::unique_ptr<KvTransport> transport_;
  std::shared_ptr<SharedPools> pools_;
  std::unique_ptr<Courier> courier_;
  std::unique_ptr<KvExchange> exchange_;
  std::unique_ptr<TraceRecorder> trace_;      ///< where the job is traced
  std::unique_ptr<KvStaging> staging_;        ///< of the leader of an instance of several ranks, where KV moves
  std::unique_ptr<Worker> worker_;            ///< of an instance's leader
  std::unique_ptr<FollowerWorker> follower_;  ///< of its other ranks
  std::string transport_name_;
  double link_gb_per_s_ = 0;
  bool has_losses_ = false;  // of a rank without a worker
  std::jthread thread_;
};

}  // namespace windlass
