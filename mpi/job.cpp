#include "mpi/job.hpp"

#include <mpi.h>

#include "mpi/launch_line.hpp"
#include "src/core/error.hpp"

namespace windlass {

MpiJob::MpiJob(std::optional<Launcher> const& launcher) {
  if (!launcher) return;
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided);
  if (provided < MPI_THREAD_SERIALIZED) {
    MPI_Finalize();
    throw InputError(
        "the MPI library gives no MPI_THREAD_SERIALIZED (computing threads would make it fail); use a "
        "build of it with thread support");
  }
  uses_mpi_ = true;
  return_errors();
  place_ = world_place();
  std::string const problem = problem_of_start({.built_with = built_flavor(),
                                                .runs_with = mpi_flavor(),
                                                .launcher_ranks = launcher->world_ranks,
                                                .world_ranks = place_.world_ranks});
  if (problem.empty()) return;
  MPI_Finalize();
  throw InputError(problem);
}

MpiJob::~MpiJob() {
  if (uses_mpi_) MPI_Finalize();
}

std::string MpiJob::library() const {
  if (!uses_mpi_) return {};
  return mpi_library();
}

}  // namespace windlass
