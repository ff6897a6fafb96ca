#include "mpi/launch_line.hpp"

#include <mpi.h>

#include "src/core/text.hpp"

namespace windlass {
namespace {

char const* name_of(MpiFlavor flavor) {
  switch (flavor) {
    case MpiFlavor::open_mpi_4:
      return "Open MPI 4";
    case MpiFlavor::open_mpi_5:
      return "Open MPI 5";
    case MpiFlavor::mpich:
      return "MPICH";
    case MpiFlavor::other:
      break;
  }
  return "another MPI";
}

/// All that is wanted of the launcher beside the number of ranks.
std::vector<std::string> flags_of(LaunchRequest const& request) {
  bool const crowded = request.hosts.empty() && request.ranks > request.usable_cores;
  std::vector<std::string> flags;
  if (request.flavor == MpiFlavor::open_mpi_4)
    flags = {"--enable-recovery", "--bind-to", "none"};
  else if (request.flavor == MpiFlavor::open_mpi_5)
    flags = {"--with-ft", "ulfm", "--bind-to", "none", "--mca", "osc", "^ucx"};
  else
    return flags;
  if (crowded) flags.insert(flags.end(), {"--oversubscribe", "--mca", "mpi_yield_when_idle", "1"});
  return flags;
}

}  // namespace

MpiFlavor flavor_of(std::string_view version) {
  if (version.starts_with("Open MPI v4")) return MpiFlavor::open_mpi_4;
  if (version.starts_with("Open MPI v5")) return MpiFlavor::open_mpi_5;
  if (version.starts_with("MPICH")) return MpiFlavor::mpich;
  return MpiFlavor::other;
}

MpiFlavor built_flavor() {
#if defined(OMPI_MAJOR_VERSION)
  return OMPI_MAJOR_VERSION >= 5 ? MpiFlavor::open_mpi_5 : MpiFlavor::open_mpi_4;
#elif defined(MPICH_VERSION)
  return MpiFlavor::mpich;
#else
  return mpi_flavor();
#endif
}

MpiFlavor mpi_flavor() { return flavor_of(mpi_library()); }

std::string mpi_library() {
  char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(version, &length);
  std::string const all(version, std::size_t(length));
  return all.substr(0, all.find_first_of(",\n"));
}

Recovery recovery_of(EnvironmentLookup const& environment) {
  for (char const* name : {"OMPI_MCA_orte_enable_recovery", "OMPI_MCA_mpi_ft_enable"}) {
    auto const value = environment(name);
    if (value && (*value == "1" || *value == "true")) return Recovery::on;
  }
  return environment("SLURM_STEP_ID") ? Recovery::unknown : Recovery::off;
}

std::string problem_of_start(StartedBy const& start) {
  std::string const cure = "; start it with the mpirun of the MPI it was built with (windlass launch finds it)";
  if (start.built_with != start.runs_with)
    return text("this program was built with ", name_of(start.built_with), " and runs with ", name_of(start.runs_with),
                ": the mpirun of the one brings its own library", cure);
  if (start.launcher_ranks && *start.launcher_ranks > start.world_ranks)
    return text("the launcher started ", *start.launcher_ranks, " ranks, but this program, built with ",
                name_of(start.built_with), ", finds ", start.world_ranks, cure);
  return "";
}

std::vector<std::string> launch_line(LaunchRequest const& request) {
  std::vector<std::string> line{request.mpirun};
  auto const flags = flags_of(request);
  line.insert(line.end(), flags.begin(), flags.end());
  if (!request.hosts.empty())
    line.insert(line.end(), {request.flavor == MpiFlavor::mpich ? "-hosts" : "--host", request.hosts});
  line.insert(line.end(), {"-n", text(request.ranks)});
  line.insert(line.end(), request.program.begin(), request.program.end());
  return line;
}

}  // namespace windlass
