/// Ends a command, and what it has started, when the process that started it is gone without having ended it.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace windlass {

/// A process of this program (`windlass guard-command PID`) that holds the other end of a pipe. When the pipe closes,
/// with this object or with this process (SIGKILL too), it ends the command: SIGTERM, and 5 s later SIGKILL. It is in a
/// session of its own: what ends a terminal's or a launcher's group of processes does not reach it. Needs Linux 5.3.
class CommandGuard {
 public:
  /// `command` is a child of this process that has not been waited for. Throws InputError where no process can be made.
  explicit CommandGuard(pid_t command);
  /// To be destroyed when the command has ended, else the guard ends it.
  ~CommandGuard();
  CommandGuard(CommandGuard const&) = delete;
  CommandGuard& operator=(CommandGuard const&) = delete;

 private:
  pid_t guard_ = -1;
  int pipe_ = -1;  ///< our end of it
};

/// What the guard's process does; `words` is the command's process id.
int guard_command(std::vector<std::string> const& words);

}  // namespace windlass
