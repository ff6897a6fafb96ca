/// Plans of a running job in a file (--record), and the same functions run on it again (simulate --replay).
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "src/policy/plan_log.hpp"

namespace windlass {

/// One JSON object a line: {"policy": "dispatch", "in": {…}, "plan": {…}}. Safe from any thread.
class PlanFile final : public PlanLog {
 public:
  /// Replaces the file. Throws FileError.
  explicit PlanFile(std::string const& path);
  void add(StepBatchingInput const& in, StepBatchingPlan const& plan) override;
  void add(DispatchInput const& in, DispatchPlan const& plan) override;
  void add(FailureInput const& in, FailurePlan const& plan) override;
  void add(LayoutInput const& in, LayoutPlan const& plan) override;
  void add(WalltimeInput const& in, WalltimePlan const& plan) override;
  void add(SaveInput const& in, SavePlan const& plan) override;
  void add(RequeueInput const& in, RequeueChoice const& plan) override;
  void add(WaitingUsers const& in, FairTurn const& plan) override;
  void add(DeadlineInput const& in, DeadlinePlan const& plan) override;

 private:
  void write(std::string const& line);

  std::string path_;
  std::ofstream file_;
  std::mutex mutex_;
};

struct ReplayDifference {
  std::int64_t line;
  std::string policy, recorded, replayed;
};

struct ReplayReport {
  std::map<std::string, std::int64_t> plans;  ///< by policy
  std::optional<ReplayDifference> first_difference;
};

/// Asks every policy again. Throws FileError, or InputError that names file and line where it is no record.
ReplayReport replay_plans(std::string const& path);

}  // namespace windlass
