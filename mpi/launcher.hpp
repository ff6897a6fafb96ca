/// Who started this process.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace windlass {

/// The value of an environment variable, or nothing. `jobs` reads the environment; nothing below it does.
using EnvironmentLookup = std::function<std::optional<std::string>(char const* name)>;

struct Launcher {
  std::string evidence;            ///< the variable that gave it away, for messages
  std::optional<int> world_ranks;  ///< as the environment says; MPI itself knows for sure
};

/// The launcher that started this process as an MPI rank, or nothing: then MPI is not to be initialised. Throws
/// InputError where Slurm started several tasks that could not find each other.
std::optional<Launcher> detect_launcher(EnvironmentLookup const& environment);

}  // namespace windlass
