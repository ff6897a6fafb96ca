/// An engine whose progress is written to a folder, now and then and at the end.
#pragma once

#include <map>
#include <string>

#include "src/serve/checkpointer.hpp"
#include "src/serve/request_runner.hpp"

namespace windlass {

struct CheckpointRunnerConfig {
  Microseconds interval_us = 0;                      ///< between two checkpoints; 0: only at the end
  std::uint64_t background_bytes_per_s = 0;          ///< 0: no limit
  std::vector<int> cpus;                             ///< where the writing thread may run
  std::map<std::string, std::string> configuration;  ///< of the job, for the checkpoint
  PlanLog* plan_log = nullptr;                       ///< gets the choice of what is saved at the end
};

/// One process that is the whole job. One thread calls it.
class CheckpointRunner final : public RequestRunner {
 public:
  /// `engine` and `folder` (an owner) must outlive it.
  CheckpointRunner(Engine& engine, CheckpointFolder& folder, CheckpointIdentity identity,
                   CheckpointRunnerConfig config);

  void take(LoadedCheckpoint loaded) { checkpointer_.take(std::move(loaded)); }
  CheckpointCounts const& counts() const { return checkpointer_.counts(); }

  void submit(Request request) override { checkpointer_.submit(std::move(request)); }
  void cancel(RequestId request) override { engine_.cancel(request); }
  bool idle() const override { return engine_.idle(); }
  void step() override;
  std::vector<Answer> take_answers() override { return engine_.take_answers(); }
  std::vector<ChoiceDelta> take_deltas() override { return engine_.take_deltas(); }
  EngineCounters counters() const override { return engine_.counters(); }
  void input_ended() override { checkpointer_.forget_unclaimed(); }
  /// Writes the last checkpoint and waits for it. A failure is a warning: the previous one stays.
  void save_progress(Microseconds until_us) override;
  Microseconds save_us() override { return checkpointer_.save_us(); }

 private:
  void publish(std::uint64_t number, StoredPart const& part);
  void tell(Checkpointer::Outcome const& outcome) const;

  Engine& engine_;
  CheckpointFolder& folder_;
  Microseconds const interval_us_;
  std::map<std::string, std::string> const configuration_;
  std::atomic<bool> last_ = false;
  Checkpointer checkpointer_;
  Microseconds next_us_, next_sign_us_ = 0;
  std::int64_t steps_saved_ = 0;
};

constexpr Microseconds sign_of_life_us = 1'000'000;

/// What a checkpoint of one part is published as.
CheckpointMaster master_of(std::uint64_t number, CheckpointIdentity const& identity);

}  // namespace windlass
