/// The subcommands: each gets the words after its name and returns the exit code.
#pragma once

#include <string>
#include <vector>

namespace windlass {

int launch_command(std::vector<std::string> const& words);
int batch_command(std::vector<std::string> const& words);
int serve_command(std::vector<std::string> const& words);
int inspect_command(std::vector<std::string> const& words);
int inspect_topology_command(std::vector<std::string> const& words);  ///< called by inspect
int bench_command(std::vector<std::string> const& words);
int plan_command(std::vector<std::string> const& words);
int simulate_command(std::vector<std::string> const& words);

}  // namespace windlass
