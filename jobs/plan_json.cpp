#include "jobs/plan_json.hpp"

#include <vector>

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
json::array list(std::vector<Number> const& numbers) {
  return list(std::span<Number const>(numbers));
}

template <class Number>
std::vector<Number> numbers(json::value const& list) {
  std::vector<Number> all;
  for (json::value const& number : list.as_array()) all.push_back(number.to_number<Number>());
  return all;
}

template <class Number>
Number number(json::object const& in, char const* name) {
  return in.at(name).to_number<Number>();
}

Microseconds us(json::object const& in, char const* name) { return number<Microseconds>(in, name); }

json::object replayed_step(json::object const& in) {
  std::vector<RunningSequence> running;
  for (json::value const& each : in.at("running").as_array()) {
    auto const pair = numbers<std::uint64_t>(each);
    running.push_back({.id = SequenceId(pair.at(0)), .pending_tokens = std::uint32_t(pair.at(1))});
  }
  return as_json(
      plan_step_batching({.running = running, .prefill_budget = number<std::uint32_t>(in, "prefill_budget")}));
}

json::object replayed_dispatch(json::object const& in) {
  auto const load = numbers<std::int64_t>(in.at("load"));
  return as_json(plan_dispatch({.load = load}));
}

json::object replayed_failures(json::object const& in) {
  auto const heard = numbers<Microseconds>(in.at("heard_us"));
  return as_json(plan_failures({.now_us = us(in, "now_us"),
                                .last_look_us = us(in, "last_look_us"),
                                .grace_until_us = us(in, "grace_until_us"),
                                .heard_us = heard,
                                .rule = {.silence_us = us(in, "silence_us"), .jump_us = us(in, "jump_us")}}));
}

json::object replayed_layout(json::object const& in) {
  std::vector<RankPlace> ranks;
  for (json::value const& each : in.at("ranks").as_array()) {
    auto const place = numbers<std::uint64_t>(each);
    ranks.push_back({.host = int(place.at(0)), .numa = int(place.at(1)), .memory_bytes = place.at(2)});
  }
  auto const degrees = numbers<int>(in.at("possible_tp"));
  return as_json(plan_layout({.wanted = parse_layout(std::string(in.at("wanted").as_string())),
                              .ranks = ranks,
                              .fabric = Fabric(number<int>(in, "fabric")),
                              .objective = Objective(number<int>(in, "objective")),
                              .instance_bytes = number<std::uint64_t>(in, "instance_bytes"),
                              .possible_tp = degrees}));
}

json::object replayed_walltime(json::object const& in) {
  return as_json(plan_walltime({.now_us = us(in, "now_us"),
                                .end_us = us(in, "end_us"),
                                .leave_us = us(in, "leave_us"),
                                .last_step_us = us(in, "last_step_us"),
                                .save_us = us(in, "save_us"),
                                .finish_us = us(in, "finish_us"),
                                .drain_wanted = in.at("drain_wanted").as_bool()}));
}

json::object replayed_save(json::object const& in) {
  std::vector<UnfinishedWork> work;
  for (json::value const& each : in.at("work").as_array()) {
    auto const sizes = numbers<std::uint64_t>(each);
    work.push_back({.computed_tokens = std::int64_t(sizes.at(0)), .new_bytes = sizes.at(1), .bytes = sizes.at(2)});
  }
  return as_json(plan_save({.work = work,
                            .time_us = us(in, "time_us"),
                            .write_bytes_per_us = number<double>(in, "write_bytes_per_us"),
                            .read_bytes_per_us = number<double>(in, "read_bytes_per_us"),
                            .compute_tokens_per_us = number<double>(in, "compute_tokens_per_us"),
                            .worthwhile_us = us(in, "worthwhile_us")}));
}

json::object replayed_requeue(json::object const& in) {
  return as_json(plan_requeue({.without_progress = number<int>(in, "without_progress"),
                               .most_without_progress = number<int>(in, "most_without_progress")}));
}

json::object replayed_turn(json::object const& in) {
  std::vector<WaitingUser> users;
  for (json::value const& each : in.at("users").as_array()) {
    auto const user = numbers<std::int64_t>(each);
    users.push_back({.priority = int(user.at(0)), .served_tokens = user.at(1), .arrival = std::uint64_t(user.at(2))});
  }
  return as_json(FairTurn(plan_fair_turn(users)));
}

json::object replayed_deadline(json::object const& in) {
  return as_json(plan_deadline({.left_us = us(in, "left_us"),
                                .prompt_tokens = number<std::int64_t>(in, "prompt_tokens"),
                                .tokens_ahead = number<std::int64_t>(in, "tokens_ahead"),
                                .least_tokens = number<std::int64_t>(in, "least_tokens"),
                                .us_per_prompt_token = number<double>(in, "us_per_prompt_token"),
                                .us_per_step = us(in, "us_per_step")}));
}

}  // namespace

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
  return {{"lost", list(plan.lost)}, {"grace_until_us", plan.grace_until_us}};
}

json::object as_json(LayoutInput const& in) {
  json::array ranks;
  for (RankPlace const& each : in.ranks) ranks.push_back(json::array{each.host, each.numa, each.memory_bytes});
  return {
      {"wanted", to_text(in.wanted)},   {"ranks", std::move(ranks)},           {"fabric", int(in.fabric)},
      {"objective", int(in.objective)}, {"instance_bytes", in.instance_bytes}, {"possible_tp", list(in.possible_tp)}};
}

json::object as_json(LayoutPlan const& plan) {
  json::array instances;
  for (PlannedInstance const& each : plan.instances)
    instances.push_back(json::object{{"role", role_name(each.role)},
                                     {"tp", each.tp},
                                     {"pp", each.pp},
                                     {"ranks", list(each.ranks)},
                                     {"peers", list(each.peers)}});
  return {{"layout", to_text(plan.layout)},
          {"instances", std::move(instances)},
          {"spare_ranks", list(plan.spare_ranks)},
          {"kv_reach", int(plan.kv_reach)},
          {"stop", int(plan.stop)}};
}

json::object as_json(WalltimeInput const& in) {
  return {{"now_us", in.now_us},
          {"end_us", in.end_us},
          {"leave_us", in.leave_us},
          {"last_step_us", in.last_step_us},
          {"save_us", in.save_us},
          {"finish_us", in.finish_us},
          {"drain_wanted", in.drain_wanted}};
}

json::object as_json(WalltimePlan const& plan) { return {{"phase", int(plan.phase)}, {"stop_us", plan.stop_us}}; }

json::object as_json(SaveInput const& in) {
  json::array work;
  for (UnfinishedWork const& each : in.work)
    work.push_back(json::array{each.computed_tokens, each.new_bytes, each.bytes});
  return {{"work", std::move(work)},
          {"time_us", in.time_us},
          {"write_bytes_per_us", in.write_bytes_per_us},
          {"read_bytes_per_us", in.read_bytes_per_us},
          {"compute_tokens_per_us", in.compute_tokens_per_us},
          {"worthwhile_us", in.worthwhile_us}};
}

json::object as_json(SavePlan const& plan) {
  json::array choices;
  for (SaveChoice const choice : plan.choices) choices.push_back(int(choice));
  return {{"choices", std::move(choices)}, {"write_us", plan.write_us}};
}

json::object as_json(RequeueInput const& in) {
  return {{"without_progress", in.without_progress}, {"most_without_progress", in.most_without_progress}};
}

json::object as_json(RequeueChoice const& choice) { return {{"choice", int(choice)}}; }

json::object as_json(WaitingUsers const& users) {
  json::array all;
  for (WaitingUser const& each : users) all.push_back(json::array{each.priority, each.served_tokens, each.arrival});
  return {{"users", std::move(all)}};
}

json::object as_json(FairTurn const& turn) { return {{"user", turn ? json::value(*turn) : json::value(nullptr)}}; }

json::object as_json(DeadlineInput const& in) {
  return {{"left_us", in.left_us},
          {"prompt_tokens", in.prompt_tokens},
          {"tokens_ahead", in.tokens_ahead},
          {"least_tokens", in.least_tokens},
          {"us_per_prompt_token", in.us_per_prompt_token},
          {"us_per_step", in.us_per_step}};
}

json::object as_json(DeadlinePlan const& plan) {
  return {{"verdict", int(plan.verdict)}, {"needed_us", plan.needed_us}, {"retry_us", plan.retry_us}};
}

std::map<std::string, PolicyReplay> const& policy_replays() {
  static std::map<std::string, PolicyReplay> const all{
      {"step_batching", replayed_step}, {"dispatch", replayed_dispatch}, {"failures", replayed_failures},
      {"layout", replayed_layout},      {"walltime", replayed_walltime}, {"save", replayed_save},
      {"requeue", replayed_requeue},    {"fair_turn", replayed_turn},    {"deadline", replayed_deadline}};
  return all;
}

}  // namespace windlass
