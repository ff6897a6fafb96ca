#include "jobs/batch_worker.hpp"

#include "jobs/batch_checkpoint.hpp"
#include "jobs/cluster.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/kv_sharing.hpp"
#include "jobs/leave.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

struct WorkerSetup {
  EnginePlace place;
  std::unique_ptr<EngineSetup> engine;
  std::unique_ptr<BatchCheckpoint> checkpoint;  ///< where a folder is named; goes before the engine
};

/// Empty, or why the model could not be loaded.
std::string try_load(BatchOptions const& options, ClusterPlan const& plan, std::string const& arithmetic,
                     std::unique_ptr<EngineSetup>& setup) {
  auto shared = share_weights(plan, options.engine.model);
  try {
    auto const recorded = arithmetic.empty() ? std::nullopt : std::optional(arithmetic);
    if (plan.computes()) setup = load_engine(options.engine, recorded, plan.own_place(), shared ? &*shared : nullptr);
  } catch (std::exception const& error) {
    return error.what();
  }
  return "";
}

/// Empty, or why the engine could not be made.
std::string try_start(BatchOptions const& options, ClusterPlan const& plan, WorkerSetup& made,
                      std::unique_ptr<Collective> collective) {
  try {
    if (made.engine == nullptr) return "";
    start_engine(*made.engine, options.engine, made.place, std::move(collective));
    if (options.checkpoint.folder.empty() || made.engine->engine == nullptr) return "";
    made.checkpoint = std::make_unique<BatchCheckpoint>(options, plan.world_rank);
    made.checkpoint->make_checkpointer(options, *made.engine, plan.carries_checkpoint());
  } catch (std::exception const& error) {
    return error.what();
  }
  return "";
}

int work(BatchOptions const& options, MpiJob const& job, ProcessWatch& watch) {
  ClusterPlan plan = plan_cluster(job, options.layout);
  plan.traced = !options.trace_file.empty();
  agree(job, "");  // rank 0 has opened the output
  std::string const arithmetic = from_rank_0(job, "");
  WorkerSetup made;
  std::unique_ptr<EngineSetup>& setup = made.engine;
  agree(job, try_load(options, plan, arithmetic, setup));
  agree_on(job, setup ? model_and_arithmetic(*setup) : "");
  gather_weight_reads(job, setup.get());
  auto collective = make_collective(plan.own_ranks());
  KvSharing sharing(job, plan, setup.get(), options.transport);
  made.place = sharing.place(plan.own_place());
  agree(job, try_start(options, plan, made, std::move(collective)));
  Cluster cluster(job, plan, setup.get(), sharing);
  if (made.checkpoint) cluster.set_checkpointer(made.checkpoint->checkpointer());
  watch.on_end([](ProcessEnd end) {
    if (end.world_rank == 0 || end.world_rank == ProcessEnd::launcher)
      leave(exit_again, text(end.world_rank == 0 ? "rank 0" : "the launcher",
                             " has ended: the job is lost; finished answers are safe"));
  });
  WorkerEnd const end = cluster.run_worker();
  if (end == WorkerEnd::controller_lost)
    leave(exit_again, "rank 0 has been silent for too long: the job is lost; finished answers are safe");
  if (end == WorkerEnd::instance_lost) leave(exit_failed);
  int const code = end == WorkerEnd::done ? exit_done : exit_failed;
  watch.on_end([code](ProcessEnd) { leave(code); });  // whoever ends now, no MPI call would return
  if (cluster.has_losses()) leave(code);
  return code;
}

}  // namespace

int run_batch_worker(BatchOptions const& options, MpiJob const& job, ProcessWatch& watch) {
  try {
    return work(options, job, watch);
  } catch (InputError const&) {  // all ranks have the same one, and rank 0 tells it
    return exit_usage;
  }
}

}  // namespace windlass
