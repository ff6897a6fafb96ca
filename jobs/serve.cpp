// windlass serve: OpenAI's API over HTTP, in front of the engine.
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <exception>
#include <memory>

#include "jobs/commands.hpp"
#include "jobs/drain_signals.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/leave.hpp"
#include "jobs/option_parsing.hpp"
#include "jobs/serve_backend.hpp"
#include "jobs/serve_options.hpp"
#include "jobs/serve_run.hpp"
#include "jobs/status_file.hpp"
#include "jobs/told_error.hpp"
#include "mpi/job.hpp"
#include "mpi/process_watch.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

/// Every connection is a descriptor, and the usual limit of 1024 is a soft one.
void raise_descriptor_limit() {
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) log_warning("the limit of open files cannot be raised");
}

/// Ends the job for a reason that a new start cures.
[[noreturn]] void leave_again(StatusFile const& status, char const* why) {
  try {
    status.write("again", why);
  } catch (std::exception const& error) {
    log_warning(error.what());
  }
  leave(exit_again, text(why, "; the server is lost, start it again"));
}

/// What rank 0 does; the others compute what it tells them.
int lead(ServeOptions const& options, ServeSignals const& signals, StatusFile const& status, JobPlace const& ranks) {
  std::unique_ptr<ServeBackend> backend;
  int code = exit_failed;
  try {
    backend = std::make_unique<ServeBackend>(options, ranks);
    std::unique_ptr<ServeRun> run;
    together(ranks.mpi, [&] {
      run = std::make_unique<ServeRun>(options, ServeParts{.signals = signals, .status = status, .backend = *backend});
    });
    code = run->run();
    run.reset();
    backend->end();
    status.write(code == exit_done ? "done" : "again", "");
  } catch (std::exception const& error) {
    status.fail(error);
    if (backend && backend->has_losses()) leave(exit_failed, text("error: ", error.what()));
    ToldError const told(error);
    ranks.watch.on_end([code = told.exit_code()](ProcessEnd) { leave(code); });
    throw told;
  }
  ranks.watch.on_end([code](ProcessEnd) { leave(code); });  // whoever ends now, no MPI call would return
  if (backend->has_losses()) leave(code);
  return code;
}

int serve(ServeOptions const& options, ServeSignals const& signals, StatusFile const& status) {
  MpiJob const mpi(detect_launcher(process_environment()));
  bool const leads = mpi.place().world_rank == 0;
  ProcessWatch watch(mpi, [&status, leads](ProcessEnd) {
    if (leads) leave_again(status, "a rank or the launcher has ended while the server started");
    leave(exit_again);
  });
  if (!leads) return run_serve_worker(options, mpi, watch);
  auto const launcher_ended = [&status] { leave_again(status, "the launcher has ended"); };
  return lead(options, signals, status, {.mpi = mpi, .watch = watch, .launcher_ended = launcher_ended});
}

}  // namespace

int serve_command(std::vector<std::string> const& words) {
  auto const options = parse_serve_options(words);
  if (!options) return exit_done;
  StatusFile const status(options->status_file);
  std::atomic<bool> hang_up = false;
  auto const at_once = [&status] {
    log_info("second signal: ending at once");
    try {
      status.write("again", "ended by a second signal");
    } catch (std::exception const& error) {
      log_warning(error.what());
    }
    ::_exit(exit_again);
  };
  DrainSignals const drain(at_once, [&hang_up] { hang_up = true; });
  raise_descriptor_limit();
  return serve(*options, {.drain = drain, .hang_up = hang_up}, status);
}

}  // namespace windlass
