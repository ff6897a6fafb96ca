#include "mpi/job.hpp"

#include <mpi.h>

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
}

MpiJob::~MpiJob() {
  if (uses_mpi_) MPI_Finalize();
}

std::string MpiJob::library() const {
  if (!uses_mpi_) return {};
  char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(version, &length);
  std::string const all(version, std::size_t(length));
  return all.substr(0, all.find_first_of(",\n"));
}

}  // namespace windlass
