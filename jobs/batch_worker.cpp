#include "jobs/batch_worker.hpp"

#include <unistd.h>

#include <cstdio>

#include "jobs/cluster.hpp"
#include "jobs/exit_codes.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"

namespace windlass {
namespace {

/// Empty, or why the engine could not be made.
std::string try_set_up(BatchOptions const& options, ClusterPlan const& plan, std::string const& arithmetic,
                       std::unique_ptr<EngineSetup>& setup) {
  try {
    auto const recorded = arithmetic.empty() ? std::nullopt : std::optional(arithmetic);
    if (plan.own_instance() != nullptr) setup = set_up_engine(options.engine, recorded, plan.own_place());
  } catch (std::exception const& error) {
    return error.what();
  }
  return "";
}

int work(BatchOptions const& options, MpiJob const& job) {
  ClusterPlan const plan = plan_cluster(job, options.layout);
  agree(job, "");  // rank 0 has opened the output
  std::string const arithmetic = from_rank_0(job, "");
  std::unique_ptr<EngineSetup> setup;
  agree(job, try_set_up(options, plan, arithmetic, setup));
  agree_on(job, setup ? model_and_arithmetic(*setup) : "");
  Cluster cluster(job, plan, setup ? setup->engine.get() : nullptr, options.transport);
  switch (cluster.run_worker()) {
    case WorkerEnd::done:
      return exit_done;
    case WorkerEnd::failed:
      return exit_failed;
    case WorkerEnd::controller_lost:
      break;
  }
  log_warning("rank 0 has been silent for too long: the job is lost; finished answers are safe");
  std::fflush(nullptr);
  ::_exit(exit_again);  // whatever MPI would still wait for is gone
}

}  // namespace

int run_batch_worker(BatchOptions const& options, MpiJob const& job) {
  try {
    return work(options, job);
  } catch (InputError const&) {  // all ranks have the same one, and rank 0 tells it
    return exit_usage;
  }
}

}  // namespace windlass
