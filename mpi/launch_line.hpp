/// Which command starts this program's ranks: it differs per MPI library.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mpi/launcher.hpp"

namespace windlass {

enum class MpiFlavor { open_mpi_4, open_mpi_5, mpich, other };

/// From what MPI_Get_library_version() says.
MpiFlavor flavor_of(std::string_view library_version);
/// The MPI that the program was compiled with.
MpiFlavor built_flavor();
/// Of the library that this process runs with; MPI need not be initialised.
MpiFlavor mpi_flavor();
/// The first line of MPI_Get_library_version(), up to a comma.
std::string mpi_library();

/// Whether the other ranks live on when one dies.
enum class Recovery {
  on,
  off,
  unknown  ///< the launcher does not say (srun)
};
Recovery recovery_of(EnvironmentLookup const& environment);

/// Why this process cannot work with the ranks that its launcher started, and what to do; empty where it can: a
/// program that was built with one MPI and started by another's mpirun runs with the wrong library, or alone.
struct StartedBy {
  MpiFlavor built_with = MpiFlavor::other, runs_with = MpiFlavor::other;
  std::optional<int> launcher_ranks;  ///< as the launcher's environment says
  int world_ranks = 1;                ///< as MPI says
};
std::string problem_of_start(StartedBy const& start);

struct LaunchRequest {
  MpiFlavor flavor = MpiFlavor::other;
  std::string mpirun;                ///< its path
  int ranks = 1, usable_cores = 1;   ///< of this host
  std::string hosts;                 ///< "a:2,b:2"; empty: this one, or what the batch system gives
  std::vector<std::string> program;  ///< the ranks' command
};
/// mpirun with recovery, without binding (each rank pins its threads itself), yielding where ranks share cores.
std::vector<std::string> launch_line(LaunchRequest const& request);

}  // namespace windlass
