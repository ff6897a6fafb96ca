#include "jobs/plan_record.hpp"

#include <boost/json.hpp>
#include <cerrno>

#include "jobs/plan_json.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

template <class Input, class Plan>
std::string line_of(char const* policy, Input const& in, Plan const& plan) {
  return json::serialize(json::object{{"policy", policy}, {"in", as_json(in)}, {"plan", as_json(plan)}});
}

}  // namespace

PlanFile::PlanFile(std::string const& path) : path_(path), file_(path, std::ios::binary) {
  if (!file_) throw FileError(path, "open", errno);
}

void PlanFile::write(std::string const& line) {
  std::lock_guard const lock(mutex_);
  if (!(file_ << line << '\n')) throw FileError(path_, "write", errno);
}

void PlanFile::add(StepBatchingInput const& in, StepBatchingPlan const& plan) {
  write(line_of("step_batching", in, plan));
}

void PlanFile::add(DispatchInput const& in, DispatchPlan const& plan) { write(line_of("dispatch", in, plan)); }

void PlanFile::add(FailureInput const& in, FailurePlan const& plan) { write(line_of("failures", in, plan)); }

void PlanFile::add(LayoutInput const& in, LayoutPlan const& plan) { write(line_of("layout", in, plan)); }

void PlanFile::add(WalltimeInput const& in, WalltimePlan const& plan) { write(line_of("walltime", in, plan)); }

void PlanFile::add(SaveInput const& in, SavePlan const& plan) { write(line_of("save", in, plan)); }

void PlanFile::add(RequeueInput const& in, RequeueChoice const& plan) { write(line_of("requeue", in, plan)); }

void PlanFile::add(WaitingUsers const& in, FairTurn const& plan) { write(line_of("fair_turn", in, plan)); }

void PlanFile::add(DeadlineInput const& in, DeadlinePlan const& plan) { write(line_of("deadline", in, plan)); }

ReplayReport replay_plans(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FileError(path, "open", errno);
  ReplayReport report;
  std::string line;
  for (std::int64_t number = 1; std::getline(file, line); ++number) {
    try {
      json::object const record = json::parse(line).as_object();
      std::string const policy(record.at("policy").as_string());
      auto const replay = policy_replays().find(policy);
      if (replay == policy_replays().end()) throw InputError("policy " + policy + " is not known");
      ++report.plans[policy];
      json::object const again = replay->second(record.at("in").as_object());
      std::string const recorded = json::serialize(record.at("plan")), replayed = json::serialize(again);
      if (recorded != replayed && !report.first_difference)
        report.first_difference = {.line = number, .policy = policy, .recorded = recorded, .replayed = replayed};
    } catch (std::exception const& problem) {
      throw InputError(
          text(path, ":", number, ": no recorded plan (", problem.what(), "); give a file that --record wrote"));
    }
  }
  return report;
}

}  // namespace windlass
