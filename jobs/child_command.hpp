/// A command that runs beside the server: windlass serve … -- CMD.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jobs/command_guard.hpp"

namespace windlass {

/// This process's environment without what makes a program take itself for an MPI rank or a step of Slurm, and with
/// `added`. Each is NAME=VALUE.
std::vector<std::string> environment_for_command(char const* const* own,
                                                 std::map<std::string, std::string> const& added);

/// shared: it is guarded: where this process ends without ending it, it and what it has started end too.
/// behind_a_pipe: its standard input is a pipe that closes with this object, or with this process however that ends;
/// and signals of the terminal do not reach it.
enum class ChildInput : unsigned char { shared, behind_a_pipe };

/// Runs with this process's standard streams and usual signals. Calls from one thread.
class ChildCommand {
 public:
  /// Throws InputError where the command cannot be started.
  ChildCommand(std::vector<std::string> const& words, std::vector<std::string> const& environment,
               ChildInput input = ChildInput::shared);
  /// Ends it where it still runs.
  ~ChildCommand();
  ChildCommand(ChildCommand const&) = delete;
  ChildCommand& operator=(ChildCommand const&) = delete;

  /// Its exit code, 128 + the signal that ended it; nothing while it runs.
  std::optional<int> exit_code();
  void send(int signal);
  /// Waits for its end; after `patience_ms` it gets SIGTERM, and 5 s later SIGKILL. Returns its exit code.
  int end(int patience_ms);

 private:
  void guard();
  bool ends_within(int milliseconds);

  pid_t child_ = -1;
  int pipe_ = -1;  ///< our end of it
  std::unique_ptr<CommandGuard> guard_;
  std::optional<int> exit_code_;
};

}  // namespace windlass
