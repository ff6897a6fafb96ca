#include "jobs/child_command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr int last_patience_ms = 5000, look_ms = 20;

/// Variables that a launcher gives its ranks; what says which allocation this is stays.
bool is_of_a_launcher(std::string_view variable) {
  constexpr std::array prefixes{"OMPI_",          "PMIX_",          "PMI_",         "PRTE_",
                                "MPI_LOCAL",      "MPIEXEC_",       "HYDRA_",       "HYDI_",
                                "SLURM_PROCID=",  "SLURM_LOCALID=", "SLURM_STEP",   "SLURM_NODEID=",
                                "SLURM_TASK_PID", "SLURM_GTIDS",    "SLURM_SRUN",   "SLURM_PMI",
                                "SLURM_MPI_TYPE", "SLURM_LAUNCH",   "SLURM_UMASK=", "SLURM_TASKS_PER_NODE=",
                                "SLURM_NTASKS="};
  for (char const* const prefix : prefixes)
    if (variable.starts_with(prefix)) return true;
  return false;
}

std::vector<char*> pointers(std::vector<std::string> const& words) {
  std::vector<char*> all;
  for (std::string const& word : words) all.push_back(const_cast<char*>(word.c_str()));
  all.push_back(nullptr);
  return all;
}

}  // namespace

std::vector<std::string> environment_for_command(char const* const* own,
                                                 std::map<std::string, std::string> const& added) {
  std::vector<std::string> all;
  for (; *own != nullptr; ++own) {
    std::string_view const variable(*own);
    bool const replaced = added.contains(std::string(variable.substr(0, variable.find('='))));
    if (!replaced && !is_of_a_launcher(variable)) all.emplace_back(variable);
  }
  for (auto const& [name, value] : added) all.push_back(name + "=" + value);
  return all;
}

ChildCommand::ChildCommand(std::vector<std::string> const& words, std::vector<std::string> const& environment,
                           ChildInput input) {
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t actions;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_init(&actions);
  sigset_t none, ignored;
  ::sigemptyset(&none);
  ::sigemptyset(&ignored);
  ::sigaddset(&ignored, SIGPIPE);
  ::sigaddset(&ignored, SIGXFSZ);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &ignored);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  int ends[2] = {-1, -1};
  if (input == ChildInput::behind_a_pipe) {
    if (::pipe2(ends, O_CLOEXEC) != 0) throw InputError(text("no pipe can be made: ", std::strerror(errno)));
    ::posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    flags |= POSIX_SPAWN_SETPGROUP;  // a group of its own is none of the terminal's
  }
  ::posix_spawnattr_setflags(&attributes, flags);
  int const failed = ::posix_spawnp(&child_, words.front().c_str(), &actions, &attributes, pointers(words).data(),
                                    pointers(environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (ends[0] >= 0) ::close(ends[0]);
  pipe_ = ends[1];
  if (failed != 0) throw InputError(text("-- ", words.front(), ": cannot be started: ", std::strerror(failed)));
  if (input == ChildInput::shared) guard();
}

void ChildCommand::guard() {
  try {
    guard_ = std::make_unique<CommandGuard>(child_);
  } catch (...) {
    end(0);
    throw;
  }
}

ChildCommand::~ChildCommand() {
  end(0);
  if (pipe_ >= 0) ::close(pipe_);
}

bool ChildCommand::ends_within(int milliseconds) {
  for (int waited = 0; waited < milliseconds && !exit_code(); waited += look_ms) ::poll(nullptr, 0, look_ms);
  return exit_code().has_value();
}

int ChildCommand::end(int patience_ms) {
  if (!ends_within(patience_ms)) send(SIGTERM);
  if (!ends_within(last_patience_ms)) send(SIGKILL);
  if (!ends_within(last_patience_ms)) return 128 + SIGKILL;
  return *exit_code_;
}

std::optional<int> ChildCommand::exit_code() {
  int status = 0;
  if (!exit_code_ && ::waitpid(child_, &status, WNOHANG) == child_)
    exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return exit_code_;
}

void ChildCommand::send(int signal) {
  if (!exit_code()) ::kill(child_, signal);
}

}  // namespace windlass
