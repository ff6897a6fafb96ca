#include "mpi/launcher.hpp"

#include <charconv>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

std::optional<int> whole_number(std::optional<std::string> const& value) {
  if (!value) return std::nullopt;
  int number = 0;
  auto const [end, failed] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (failed != std::errc{} || end != value->data() + value->size()) return std::nullopt;
  return number;
}

}  // namespace

std::optional<Launcher> detect_launcher(EnvironmentLookup const& environment) {
  // Open MPI's mpirun, MPICH's and Slurm's PMI, and PMIx (prterun, srun --mpi=pmix), which does not tell the size.
  for (char const* size_variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"})
    if (auto const ranks = whole_number(environment(size_variable)))
      return Launcher{.evidence = size_variable, .world_ranks = ranks};
  if (environment("PMIX_RANK"))
    return Launcher{.evidence = "PMIX_RANK", .world_ranks = whole_number(environment("SLURM_STEP_NUM_TASKS"))};
  auto const tasks = whole_number(environment("SLURM_STEP_NUM_TASKS"));
  if (tasks && *tasks > 1 && whole_number(environment("SLURM_STEP_ID")))
    throw InputError(text("srun started ", *tasks,
                          " tasks without an MPI connection (each would do the whole work "
                          "alone); use srun --mpi=pmix, or -n 1"));
  return std::nullopt;
}

}  // namespace windlass
