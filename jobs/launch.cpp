// windlass launch: starts a job with the mpirun of the MPI that the program was built with.
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "jobs/batch_options.hpp"
#include "jobs/commands.hpp"
#include "jobs/exit_codes.hpp"
#include "mpi/launch_line.hpp"
#include "mpi/topology.hpp"
#include "src/core/error.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr char const* usage =
    "windlass launch [-n RANKS] [--hosts A:2,B:2] [--print] [--mpirun PATH] SUBCOMMAND ...\n"
    "\n"
    "Starts an MPI job: prints and runs the mpirun line of the MPI that this program was built with, so that the job\n"
    "goes on when a rank dies (MPICH cannot), ranks are not bound to single cores (each pins its own threads), and\n"
    "ranks that share cores yield to each other. The job's status file gives the exit code, which mpirun garbles.\n"
    "\n"
    "  -n RANKS        how many (default: 1)\n"
    "  --hosts LIST    where, and how many on each; without it here, or where the batch system says\n"
    "  --print         print the line and do not run it\n"
    "  --mpirun PATH   another mpirun, of the same MPI\n"
    "\n"
    "  windlass launch -n 3 batch --layout prefill=2,decode=1 --model M --input in.jsonl --output out.jsonl\n"
    "\n"
    "SIGTERM, SIGINT and SIGUSR1 drain the job; a second one ends it at once.\n";

struct Launch {
  LaunchRequest request;
  bool only_prints = false;
  std::string status_file;
};

[[noreturn]] void refuse(std::string const& what) { throw InputError(text("windlass launch: ", what, " (--help)")); }

int rank_count(std::string const& word) {
  int count = 0;
  auto const [end, failed] = std::from_chars(word.data(), word.data() + word.size(), count);
  if (failed != std::errc{} || end != word.data() + word.size() || count < 1)
    refuse(text("-n ", word, ": give a number of ranks from 1 on"));
  return count;
}

/// The one of the build where that is still there, else the first one in PATH.
std::string find_mpirun() { return ::access(WINDLASS_MPIRUN, X_OK) == 0 ? WINDLASS_MPIRUN : "mpirun"; }

/// The subcommand's own --status-file, or nothing.
std::string status_file_of(std::vector<std::string> const& words) {
  static constexpr std::string_view option = "--status-file";
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == option && i + 1 < words.size()) return words[i + 1];
    if (words[i].starts_with(text(option, "="))) return words[i].substr(option.size() + 1);
  }
  return "";
}

Launch parse(std::vector<std::string> const& words) {
  Launch launch{.request = {.flavor = built_flavor(),
                            .mpirun = find_mpirun(),
                            .usable_cores = int(find_cores().cpus.size()),
                            .hosts = "",
                            .program = {std::filesystem::read_symlink("/proc/self/exe").string()}}};
  std::size_t at = 0;
  auto const value = [&] { return ++at < words.size() ? words[at] : (refuse(words[at - 1] + " needs a value"), ""); };
  for (; at < words.size() && words[at].starts_with("-"); ++at) {
    if (words[at] == "-n")
      launch.request.ranks = rank_count(value());
    else if (words[at] == "--hosts")
      launch.request.hosts = value();
    else if (words[at] == "--mpirun")
      launch.request.mpirun = value();
    else if (words[at] == "--print")
      launch.only_prints = true;
    else
      refuse(words[at] + " is no option of launch; the subcommand's own options stand behind it");
  }
  if (at == words.size()) refuse("name a subcommand, such as batch");
  launch.request.program.insert(launch.request.program.end(), words.begin() + std::ptrdiff_t(at), words.end());
  launch.status_file = status_file_of(words);
  return launch;
}

/// As a shell would take it.
std::string quoted(std::vector<std::string> const& line) {
  std::string all;
  for (std::string const& word : line) {
    bool const plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789_-+=,./:@%^") == std::string::npos;
    std::string safe;
    for (char const c : word) safe += c == '\'' ? std::string("'\\''") : std::string(1, c);
    all += text(all.empty() ? "" : " ", plain ? "" : "'", safe, plain ? "" : "'");
  }
  return all;
}

/// A file for the job's status that is gone with this object.
class TemporaryFile {
 public:
  TemporaryFile() : path_((std::filesystem::temp_directory_path() / "windlass-status-XXXXXX").string()) {
    int const descriptor = ::mkstemp(path_.data());
    if (descriptor < 0) throw FileError(path_, "create", errno);
    ::close(descriptor);
  }
  ~TemporaryFile() { ::unlink(path_.c_str()); }
  TemporaryFile(TemporaryFile const&) = delete;
  TemporaryFile& operator=(TemporaryFile const&) = delete;
  std::string const& path() const { return path_; }

 private:
  std::string path_;
};

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int const signal : {SIGTERM, SIGINT, SIGUSR1, SIGCHLD}) sigaddset(&set, signal);
  return set;
}

/// mpirun in a process group of its own: a terminal's Ctrl-C reaches this process alone.
pid_t start(std::vector<std::string> const& line) {
  std::vector<char*> words;
  for (std::string const& word : line) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t const child = ::fork();
  if (child < 0) throw std::runtime_error(text("cannot start ", line.front(), ": ", std::strerror(errno)));
  if (child > 0) return child;
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::signal(SIGXFSZ, SIG_DFL);
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);  // without its launcher the job has nobody to tell
  if (::isatty(STDIN_FILENO) && !::freopen("/dev/null", "r", stdin)) ::_exit(127);
  ::execvp(words.front(), words.data());
  std::fprintf(stderr, "windlass: cannot run %s: %s; is the MPI that the program was built with installed?\n",
               words.front(), std::strerror(errno));
  ::_exit(127);
}

constexpr int patience_with_mpirun_s = 5;  ///< after the end of its job

/// Open MPI 4's mpirun does not end after the loss of a host.
void end_straggler(pid_t mpirun) {
  log_warning("the job is over, but mpirun does not end (the loss of a host can do that): it is ended");
  ::kill(mpirun, SIGKILL);
}

/// Passes signals on until mpirun has ended; its status. mpirun kills its ranks 2 s after a SIGTERM, so the first one
/// goes on as SIGUSR1, which it hands to them.
int wait_for(pid_t child, sigset_t const& watched, std::function<bool()> const& job_has_left) {
  int signals = 0, seconds_alone = 0;
  for (;;) {
    siginfo_t information;
    timespec const second{.tv_sec = 1, .tv_nsec = 0};
    if (::sigtimedwait(&watched, &information, &second) < 0) {
      if (errno == EAGAIN && job_has_left() && ++seconds_alone == patience_with_mpirun_s) end_straggler(child);
      continue;  // EINTR
    }
    if (information.si_signo != SIGCHLD) {
      ::kill(child, ++signals == 1 ? SIGUSR1 : SIGTERM);
      continue;
    }
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child)
      return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
}

/// Changes whenever the file is replaced; empty: there is none. Numbers of files are used again, times are not.
std::string version_of(std::string const& path) {
  struct stat file {};
  if (::stat(path.c_str(), &file) != 0) return "";
  return text(file.st_ino, " ", file.st_mtim.tv_sec, " ", file.st_mtim.tv_nsec);
}

/// The number behind "key": in a line of JSON that the program wrote itself, or `otherwise`.
int number_after(std::string const& line, std::string_view key, int otherwise) {
  auto const at = line.rfind(key);
  int value = otherwise;
  if (at != std::string::npos) std::from_chars(line.data() + at + key.size(), line.data() + line.size(), value);
  return value;
}

struct JobStatus {
  std::string word, details;  ///< its first two lines
};

JobStatus read_status(std::string const& status_file) {
  JobStatus status;
  std::ifstream in(status_file);
  std::getline(in, status.word);
  std::getline(in, status.details);
  return status;
}

/// What the job says of itself; mpirun's own status where it never came so far.
int exit_code(JobStatus const& status, int mpirun_status) {
  if (status.word == "running")
    log_warning("the job ended without a word: rank 0 or the launcher is lost; start again with the same command");
  return number_after(status.details, "\"exit_code\":", mpirun_status);
}

/// Rank 0 has said how the job ended, on this host, and its process is gone.
bool has_left(JobStatus const& status) {
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) != 0) return false;
  int const process = number_after(status.details, "\"pid\":", 0);
  bool const was_here = status.details.find(text("\"host\":\"", host, "\"")) != std::string::npos;
  return status.word != "running" && was_here && process > 0 && ::kill(process, 0) != 0 && errno == ESRCH;
}

int run(Launch launch) {
  TemporaryFile const own_status;
  bool const tells_status = launch.request.program[1] == "batch";
  if (tells_status && launch.status_file.empty()) {
    launch.status_file = own_status.path();
    launch.request.program.insert(launch.request.program.end(), {"--status-file", own_status.path()});
  }
  std::string const before = version_of(launch.status_file);
  sigset_t const watched = watched_signals();
  ::sigprocmask(SIG_BLOCK, &watched, nullptr);
  auto const line = launch_line(launch.request);
  auto const told_anew = [&] { return tells_status && version_of(launch.status_file) != before; };
  int const status =
      wait_for(start(line), watched, [&] { return told_anew() && has_left(read_status(launch.status_file)); });
  return told_anew() ? exit_code(read_status(launch.status_file), status) : status;
}

}  // namespace

int launch_command(std::vector<std::string> const& words) {
  if (words.empty() || words.front() == "--help" || words.front() == "-h") {
    std::fputs(usage, stdout);
    return words.empty() ? exit_usage : exit_done;
  }
  Launch const launch = parse(words);
  std::string const line = quoted(launch_line(launch.request));
  if (launch.only_prints) {
    std::puts(line.c_str());
    return exit_done;
  }
  auto const& program = launch.request.program;
  bool const is_batch = program[1] == "batch";  // a mistake is told once, before anything starts
  if (is_batch && !parse_batch_options({program.begin() + 2, program.end()})) return exit_done;
  log_info(line);
  return run(launch);
}

}  // namespace windlass
