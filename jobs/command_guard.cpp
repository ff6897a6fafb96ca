#include "jobs/command_guard.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <list>
#include <map>
#include <sstream>

#include "jobs/exit_codes.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

// Not in the headers of every C library that the program is built with; the numbers are those of all architectures.
constexpr long pidfd_send_signal_call = 424, pidfd_open_call = 434, close_range_call = 436;
constexpr int patience_ms = 5000;  ///< of SIGTERM

/// A process that stays this one, also where its number is given to another.
class ProcessHandle {
 public:
  explicit ProcessHandle(pid_t process) : descriptor_(int(::syscall(pidfd_open_call, process, 0))) {}
  ~ProcessHandle() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  ProcessHandle(ProcessHandle const&) = delete;
  ProcessHandle& operator=(ProcessHandle const&) = delete;

  bool ends_within(int milliseconds) const {
    pollfd process{.fd = descriptor_, .events = POLLIN, .revents = 0};
    return descriptor_ < 0 || ::poll(&process, 1, milliseconds) > 0;
  }
  void send(int signal) const { ::syscall(pidfd_send_signal_call, descriptor_, signal, nullptr, 0); }

 private:
  int descriptor_;  ///< -1: it has ended
};

/// Field 4 of /proc/PID/stat, behind a name that may hold anything.
pid_t parent_of(std::filesystem::path const& folder) {
  std::ifstream file(folder / "stat");
  std::string const all{std::istreambuf_iterator<char>(file), {}};
  std::size_t const name_end = all.rfind(')');
  if (name_end == std::string::npos) return 0;  // it has ended meanwhile
  std::istringstream rest(all.substr(name_end + 1));
  std::string state;
  pid_t parent = 0;
  rest >> state >> parent;
  return parent;
}

/// The command and what it and its children have started, as far as their parents still run.
std::vector<pid_t> family_of(pid_t command) {
  std::multimap<pid_t, pid_t> children;
  std::error_code failed;
  for (auto const& entry : std::filesystem::directory_iterator("/proc", failed)) {
    pid_t const process = std::atoi(entry.path().filename().c_str());
    if (process > 0) children.emplace(parent_of(entry.path()), process);
  }
  std::vector<pid_t> family{command};
  for (std::size_t i = 0; i < family.size(); ++i)
    for (auto [at, end] = children.equal_range(family[i]); at != end; ++at) family.push_back(at->second);
  return family;
}

void end_family(pid_t command) {
  std::list<ProcessHandle> family;
  for (pid_t const process : family_of(command)) family.emplace_back(process);
  for (ProcessHandle const& process : family) process.send(SIGTERM);
  int left_ms = patience_ms;
  constexpr int look_ms = 20;
  for (ProcessHandle const& process : family)
    while (left_ms > 0 && !process.ends_within(look_ms)) left_ms -= look_ms;
  for (ProcessHandle const& process : family)
    if (!process.ends_within(0)) process.send(SIGKILL);
}

}  // namespace

CommandGuard::CommandGuard(pid_t command) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw InputError(text("no pipe can be made: ", std::strerror(errno)));
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t actions;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  ::posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
  for (int const stream : {STDOUT_FILENO, STDERR_FILENO})
    ::posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_WRONLY, 0);
  std::string program = "windlass", name = "guard-command", process = std::to_string(command);
  char* const words[] = {program.data(), name.data(), process.data(), nullptr};
  int const failed = ::posix_spawn(&guard_, "/proc/self/exe", &actions, &attributes, words, ::environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  ::close(ends[0]);
  pipe_ = ends[1];
  if (failed == 0) return;
  ::close(pipe_);
  throw InputError(text("a process that guards the command cannot be started: ", std::strerror(failed)));
}

CommandGuard::~CommandGuard() {
  ::close(pipe_);
  ::waitpid(guard_, nullptr, 0);  // it has nothing left to do, or ends the command in seconds
}

int guard_command(std::vector<std::string> const& words) {
  pid_t const command = words.size() == 1 ? std::atoi(words.front().c_str()) : 0;
  if (command <= 0) return exit_usage;
  ::syscall(close_range_call, STDERR_FILENO + 1, ~0u, 0);  // sockets of MPI: their peers wait for them to close
  ProcessHandle const handle(command);
  for (int const signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) std::signal(signal, SIG_IGN);
  char byte;
  while (::read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR) {
  }
  if (!handle.ends_within(0)) end_family(command);
  return exit_done;
}

}  // namespace windlass
