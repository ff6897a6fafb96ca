#include "src/serve/checkpoint_runner.hpp"

#include <ctime>
#include <utility>

#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {

CheckpointMaster master_of(std::uint64_t number, CheckpointIdentity const& identity) {
  return {.identity = identity, .number = number, .written_unix_s = std::int64_t(std::time(nullptr))};
}

CheckpointRunner::CheckpointRunner(Engine& engine, CheckpointFolder& folder, CheckpointIdentity identity,
                                   CheckpointRunnerConfig config)
    : engine_(engine),
      folder_(folder),
      interval_us_(config.interval_us),
      configuration_(std::move(config.configuration)),
      checkpointer_(engine, folder, std::move(identity),
                    {.background_bytes_per_s = config.background_bytes_per_s,
                     .cpus = config.cpus,
                     .carries = true,
                     .on_stored = [this](std::uint64_t number, StoredPart const& part) { publish(number, part); },
                     .plan_log = config.plan_log}),
      next_us_(config.interval_us > 0 ? now_us() + config.interval_us : never_us) {}

/// On the writing thread.
void CheckpointRunner::publish(std::uint64_t number, StoredPart const& part) {
  CheckpointMaster master = master_of(number, checkpointer_.identity());
  master.planned_end = last_;
  master.configuration = configuration_;
  master.parts = {part.name};
  master.part_digests = {part.written.digest};
  folder_.publish(master);
}

void CheckpointRunner::step() {
  engine_.step();
  if (auto const outcome = checkpointer_.poll()) tell(*outcome);
  Microseconds const now = now_us();
  if (now >= next_sign_us_) {
    folder_.sign_of_life();
    next_sign_us_ = now + sign_of_life_us;
  }
  if (now < next_us_ || checkpointer_.writing()) return;
  next_us_ = now + interval_us_;
  std::int64_t const steps = engine_.counters().steps;
  if (steps == steps_saved_) return;  // nothing happened
  steps_saved_ = steps;
  checkpointer_.begin(folder_.next_number(), CheckpointHaste::background);
}

void CheckpointRunner::save_progress(Microseconds until_us) {
  if (auto const outcome = checkpointer_.wait()) tell(*outcome);
  last_ = true;
  checkpointer_.begin(folder_.next_number(), CheckpointHaste::at_once, until_us);
  if (auto const outcome = checkpointer_.wait()) tell(*outcome);
}

void CheckpointRunner::tell(Checkpointer::Outcome const& outcome) const {
  if (!outcome.problem.empty())
    log_warning(text("no checkpoint was written: ", outcome.problem, "; the one before stays"));
  else if (outcome.part->left_out_pages > 0)
    log_warning(text(folder_.path(), ": ", outcome.part->left_out_pages,
                     " pages found no room in the checkpoint and would be computed again"));
}

}  // namespace windlass
