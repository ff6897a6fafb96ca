#include "jobs/plan_record.hpp"

#include <boost/json.hpp>
#include <cerrno>
#include <vector>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

template <class Number>
json::array list(std::span<Number const> numbers) {
  json::array all;
  for (Number const number : numbers) all.push_back(number);
  return all;
}

template <class Number>
std::vector<Number> numbers(json::value const& list) {
  std::vector<Number> all;
  for (json::value const& number : list.as_array()) all.push_back(number.to_number<Number>());
  return all;
}

// Every policy: its input, its plan, and the way back from the input.

json::object as_json(StepBatchingInput const& in) {
  json::array running;
  for (RunningSequence const& each : in.running)
    running.push_back(json::array{std::uint64_t(each.id), each.pending_tokens});
  return {{"running", std::move(running)}, {"prefill_budget", in.prefill_budget}};
}

json::object as_json(StepBatchingPlan const& plan) {
  json::array shares;
  for (StepShare const& each : plan.shares) shares.push_back(json::array{std::uint64_t(each.id), each.tokens});
  return {{"shares", std::move(shares)}, {"stop", int(plan.stop)}};
}

json::object as_json(DispatchInput const& in) { return {{"load", list(in.load)}}; }

json::object as_json(DispatchPlan const& plan) { return {{"instance", plan.instance}, {"stop", int(plan.stop)}}; }

json::object as_json(FailureInput const& in) {
  return {{"now_us", in.now_us},           {"last_look_us", in.last_look_us},  {"grace_until_us", in.grace_until_us},
          {"heard_us", list(in.heard_us)}, {"silence_us", in.rule.silence_us}, {"jump_us", in.rule.jump_us}};
}

json::object as_json(FailurePlan const& plan) {
  return {{"lost", list(std::span<std::size_t const>(plan.lost))}, {"grace_until_us", plan.grace_until_us}};
}

json::object replayed_step(json::object const& in) {
  std::vector<RunningSequence> running;
  for (json::value const& each : in.at("running").as_array()) {
    auto const pair = numbers<std::uint64_t>(each);
    running.push_back({.id = SequenceId(pair.at(0)), .pending_tokens = std::uint32_t(pair.at(1))});
  }
  return as_json(
      plan_step_batching({.running = running, .prefill_budget = in.at("prefill_budget").to_number<std::uint32_t>()}));
}

json::object replayed_dispatch(json::object const& in) {
  auto const load = numbers<std::int64_t>(in.at("load"));
  return as_json(plan_dispatch({.load = load}));
}

json::object replayed_failures(json::object const& in) {
  auto const us = [&](char const* name) { return in.at(name).to_number<Microseconds>(); };
  auto const heard = numbers<Microseconds>(in.at("heard_us"));
  return as_json(plan_failures({.now_us = us("now_us"),
                                .last_look_us = us("last_look_us"),
                                .grace_until_us = us("grace_until_us"),
                                .heard_us = heard,
                                .rule = {.silence_us = us("silence_us"), .jump_us = us("jump_us")}}));
}

using Replay = json::object (*)(json::object const&);

std::map<std::string, Replay> const& replays() {
  static std::map<std::string, Replay> const all{
      {"step_batching", replayed_step}, {"dispatch", replayed_dispatch}, {"failures", replayed_failures}};
  return all;
}

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

ReplayReport replay_plans(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FileError(path, "open", errno);
  ReplayReport report;
  std::string line;
  for (std::int64_t number = 1; std::getline(file, line); ++number) {
    try {
      json::object const record = json::parse(line).as_object();
      std::string const policy(record.at("policy").as_string());
      auto const replay = replays().find(policy);
      if (replay == replays().end()) throw InputError("policy " + policy + " is not known");
      ++report.plans[policy];
      json::object const again = replay->second(record.at("in").as_object());
      std::string const recorded = json::serialize(record.at("plan")), replayed = json::serialize(again);
      if (recorded != replayed && !report.first_difference)
        report.first_difference = {.line = number, .policy = policy, .recorded = recorded, .replayed = replayed};
    } catch (std::exception const& problem) {
      throw InputError(text(path, ":", number, ": no recorded plan (", problem.what(),
                            "); give a file that windlass batch --record wrote"));
    }
  }
  return report;
}

}  // namespace windlass
