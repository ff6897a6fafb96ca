// windlass batch: a file of requests in, a journal of answers out.
#include <cstdio>
#include <exception>
#include <memory>

#include "jobs/batch_options.hpp"
#include "jobs/batch_run.hpp"
#include "jobs/batch_worker.hpp"
#include "jobs/commands.hpp"
#include "jobs/drain_signals.hpp"
#include "jobs/exit_codes.hpp"
#include "jobs/leave.hpp"
#include "jobs/option_parsing.hpp"
#include "jobs/status_file.hpp"
#include "jobs/told_error.hpp"
#include "mpi/job.hpp"
#include "mpi/process_watch.hpp"
#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

/// Ends the job for a reason that a new start cures.
[[noreturn]] void leave_for_the_next_run(StatusFile const& status, std::string const& why) {
  try {
    status.write("again", why);
  } catch (std::exception const& error) {
    log_warning(error.what());
  }
  leave(exit_again, why + "; finished answers are safe, start again with the same command");
}

std::string name_of(ProcessEnd end) {
  return end.world_rank == ProcessEnd::launcher ? "the launcher" : text("rank ", end.world_rank);
}

int run_with_status(BatchOptions const& options, DrainSignals const& signals, StatusFile const& status) {
  MpiJob const mpi(detect_launcher(process_environment()));
  bool const leads = mpi.place().world_rank == 0;
  ProcessWatch watch(mpi, [&status, leads](ProcessEnd end) {
    std::string const why = name_of(end) + " has ended while the job started";
    if (leads) leave_for_the_next_run(status, why);
    leave(exit_again);
  });
  if (!leads) return run_batch_worker(options, mpi, watch);
  std::unique_ptr<BatchRun> run;
  int code = exit_failed;
  try {
    run = std::make_unique<BatchRun>(
        options, BatchPlace{.signals = signals, .mpi = mpi, .watch = watch, .launcher_ended = [&status] {
                              leave_for_the_next_run(status, "the launcher has ended");
                            }});
    status.write("running", "");
    code = run->run();
    status.write(code == exit_done ? "done" : "again", run->losses());
  } catch (JournalInUse const& error) {  // the status file may be that of the job which writes it
    throw ToldError(error);
  } catch (std::exception const& error) {
    status.fail(error);
    if (run && run->has_losses()) leave(exit_failed, text("error: ", error.what()));
    throw ToldError(error);
  }
  run->requeue_if_wanted(code);
  watch.on_end([code](ProcessEnd) { leave(code); });  // whoever ends now, no MPI call would return
  if (run->has_losses()) leave(code);
  return code;
}

}  // namespace

int batch_command(std::vector<std::string> const& words) {
  auto const options = parse_batch_options(words);
  if (!options) return exit_done;
  StatusFile const status(options->status_file);
  DrainSignals const signals([&status] { leave_for_the_next_run(status, "a second signal: ending at once"); });
  return run_with_status(*options, signals, status);
}

}  // namespace windlass
