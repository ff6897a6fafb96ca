/// The subcommands: each gets the words after its name and returns the exit code.
#pragma once

#include <string>
#include <vector>

namespace windlass {

int launch_command(std::vector<std::string> const& words);
int batch_command(std::vector<std::string> const& words);
int serve_command(std::vector<std::string> const& words);
int bench_serve_command(std::vector<std::string> const& words);
int chat_command(std::vector<std::string> const& words);
int inspect_command(std::vector<std::string> const& words);
int inspect_topology_command(std::vector<std::string> const& words);  ///< called by inspect
int bench_command(std::vector<std::string> const& words);
bool is_checkpoint(std::string const& path);              ///< a file or folder of one
int inspect_checkpoint_command(std::string const& path);  ///< called by inspect
int submit_command(std::vector<std::string> const& words);
int plan_command(std::vector<std::string> const& words);
int simulate_command(std::vector<std::string> const& words);

}  // namespace windlass
