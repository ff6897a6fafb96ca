/// The life of MPI in this process.
#pragma once

#include <string>

#include "mpi/communicators.hpp"
#include "mpi/launcher.hpp"

namespace windlass {

/// Initialises MPI if a launcher started the process, and finalises it at the end; without a launcher a job of one rank
/// that never calls MPI. At most one object per process. SIGPIPE must be ignored before: a send to a dead peer raises
/// it.
class MpiJob {
 public:
  /// Collective over all ranks of the launcher. Throws InputError if the MPI library gives less than
  /// MPI_THREAD_SERIALIZED, or is not the one that the program was built with.
  explicit MpiJob(std::optional<Launcher> const& launcher);
  ~MpiJob();  ///< Collective over all ranks.
  MpiJob(MpiJob const&) = delete;
  MpiJob& operator=(MpiJob const&) = delete;

  WorldPlace place() const { return place_; }
  bool uses_mpi() const { return uses_mpi_; }
  std::string library() const;  ///< the MPI library's name and version in one line; empty without a launcher

 private:
  bool uses_mpi_ = false;
  WorldPlace place_;
};

}  // namespace windlass
