#include "src/sim/elastic_cluster.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "src/core/error.hpp"
#include "src/policy/token_retention.hpp"
#include "src/sim/elastic_simulation.hpp"

namespace windlass {

ElasticSimulation::ElasticSimulation(ElasticCluster const& cluster, Workload const& workload)
    : cluster_(cluster),
      workload_(workload),
      work_(cluster.degree_times.size(), InstanceWork::idle),
      used_(cluster.degree_times.size(), 0),
      flights_(workload.size()) {
  if (work_.empty()) throw InputError("the cluster has no instance; give a prefill time for each degree");
  report_.outcomes.resize(workload.size());
}

ElasticReport ElasticSimulation::run() {
  if (!workload_.empty()) events_.add(workload_[0].arrival_us, {EventKind::arrival, 0});
  while (!events_.empty()) {
    Event const event = events_.take();
    switch (event.kind) {
      case EventKind::arrival:
        arrive(event.index);
        break;
      case EventKind::prefill_done:
        finish_prefill(event.index);
        break;
      case EventKind::step_done:
        finish_step(event.index);
        break;
      case EventKind::migrated:
        if (!groups_[event.index].stepping) boundary(event.index);
        break;
    }
  }
  for (std::int64_t const tokens : used_) report_.left_tokens += tokens;
  return std::move(report_);
}

void ElasticSimulation::arrive(std::uint32_t request) {
  if (request + 1 < workload_.size()) events_.add(workload_[request + 1].arrival_us, {EventKind::arrival, request + 1});
  RequestOutcome& outcome = report_.outcomes[request];
  outcome.arrival_us = workload_[request].arrival_us;
  outcome.lengths = workload_[request].lengths;
  outcome.decode_steps = std::max(0, outcome.lengths.output_tokens - 1);
  std::int64_t const whole = std::int64_t(outcome.lengths.prompt_tokens) + outcome.decode_steps;
  if (whole > cluster_.kv_tokens * std::int64_t(work_.size())) {
    outcome.end = RequestEnd::rejected_at_arrival;
    return;
  }
  flights_[request] = {.prompt_tokens = outcome.lengths.prompt_tokens,
                       .context = outcome.lengths.prompt_tokens,
                       .steps_left = outcome.decode_steps,
                       .held = std::vector<std::int64_t>(work_.size(), 0)};
  waiting_.push_back(request);
  start_on_idle();
}

double ElasticSimulation::prefill_us(Requests const& prompts, std::size_t degree) const {
  double sum = 0, squares = 0;
  for (std::uint32_t const request : prompts) {
    double const tokens = double(flights_[request].prompt_tokens);
    sum += tokens;
    squares += tokens * tokens;
  }
  ElasticDegreeTime const& time = cluster_.degree_times[degree - 1];
  return time.base_us + time.per_token_us * sum + time.per_square_us * squares;
}

ElasticDecodes ElasticSimulation::decodes() const {
  ElasticDecodes all{.step_us = cluster_.step.base_us,
                     .mean_output_tokens = cluster_.predicted_output_tokens,
                     .least_generated = cluster_.predicted_output_tokens};
  for (Group const& group : groups_)
    for (std::uint32_t const request : group.sequences) {
      all.least_generated = std::min(all.least_generated, generated(request));
      all.most_generated = std::max(all.most_generated, generated(request));
    }
  return all;
}

ElasticDispatchPlan ElasticSimulation::dispatch(Instances const& instances, double pausing_inverse_generated) const {
  std::vector<GrowingSequence> waiting, running;
  for (std::uint32_t const request : waiting_) waiting.push_back(growing(request));
  for (std::uint32_t const request : running_) running.push_back(growing(request));
  ElasticDecodes beside = decodes();
  beside.pausing_inverse_generated = pausing_inverse_generated;
  return plan_elastic_dispatch({.waiting = waiting,
                                .running = running,
                                .capacity_tokens = cluster_.kv_tokens * std::int64_t(work_.size()),
                                .free_tokens = free_tokens(instances),
                                .time = cluster_.degree_times[instances.size() - 1],
                                .decodes = beside,
                                .max_prefill_us = double(cluster_.max_prefill_us),
                                .overtaken = overtaken_,
                                .max_overtaking = cluster_.max_overtaking});
}

void ElasticSimulation::start_on_idle() {
  Instances const idle = idle_instances();
  if (idle.empty() || waiting_.empty()) return;
  start_prefills(dispatch(idle, 0), idle, std::nullopt);
}

DecodingGroup ElasticSimulation::decoding(Group const& group) const {
  DecodingGroup described{.instances = std::int64_t(group.instances.size()),
                          .inverse_generated = 0,
                          .kv_tokens = 0,
                          .growth_tokens = 0,
                          .free_tokens = free_tokens(group.instances),
                          .steps = group.steps};
  for (std::uint32_t const request : group.sequences) {
    described.inverse_generated += 1 / double(1 + generated(request));
    described.kv_tokens += flights_[request].context;
    described.growth_tokens += growing(request).remaining_tokens;
  }
  return described;
}

/// Prompts that wait may take the instances of a group that is between two steps.
void ElasticSimulation::start_beside(std::uint32_t index) {
  if (waiting_.empty()) return;
  Instances const idle = idle_instances();
  Instances both = idle;
  both.insert(both.end(), groups_[index].instances.begin(), groups_[index].instances.end());
  auto const others = groups_beside(index);
  auto const group = decoding(groups_[index]);
  std::vector<std::int64_t> room, tokens;
  if (cluster_.growth == ElasticGrowth::grows)
    for (std::uint32_t const other : others)
      room.push_back(free_tokens(groups_[other].instances) - decoding(groups_[other]).growth_tokens);
  bool const may_move = group_with_room(group, room).has_value();
  auto const chosen = dispatch(both, may_move ? 0 : group.inverse_generated);
  for (std::size_t const i : chosen.chosen) tokens.push_back(flights_[waiting_[i]].prompt_tokens);
  auto const plan = plan_elastic_allocation({.prompt_tokens = tokens,
                                             .idle_instances = std::int64_t(idle.size()),
                                             .idle_free_tokens = free_tokens(idle),
                                             .group = group,
                                             .room_tokens = room,
                                             .degree_times = cluster_.degree_times,
                                             .migration_us_per_token = cluster_.migration_us_per_token,
                                             .steps_between_pauses = cluster_.steps_between_pauses});
  if (plan.stop == ElasticAllocationStop::group_moves) migrate(index, others[*plan.target]);
  if (plan.stop == ElasticAllocationStop::group_pauses)
    report_.pauses += start_prefills(chosen, both, index) && groups_[index].prefills > 0;
  else
    start_on_idle();
}

/// Whether they started: batches and degrees by dynamic programming, the emptiest instances first.
bool ElasticSimulation::start_prefills(ElasticDispatchPlan const& chosen, Instances instances,
                                       std::optional<std::uint32_t> paused) {
  std::stable_sort(instances.begin(), instances.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return used_[a] < used_[b]; });
  Requests starting;
  std::vector<std::int64_t> tokens, room;
  for (std::size_t const i : chosen.chosen) {
    starting.push_back(waiting_[i]);
    tokens.push_back(flights_[waiting_[i]].prompt_tokens);
  }
  for (std::uint32_t const i : instances) room.push_back(cluster_.kv_tokens - used_[i]);
  auto const plan =
      plan_elastic_batches({.prompt_tokens = tokens, .free_tokens = room, .degree_times = cluster_.degree_times});
  if (plan.stop != ElasticBatchingStop::planned) return false;
  overtaken_ = chosen.overtaken;
  for (ElasticBatch const& batch : plan.batches) {
    Requests prompts;
    for (std::size_t const i : batch.prompts) prompts.push_back(starting[i]);
    auto const first = instances.begin() + std::ptrdiff_t(batch.first_instance);
    launch(std::move(prompts), {first, first + std::ptrdiff_t(batch.instances)}, paused);
  }
  std::erase_if(waiting_,
                [&](std::uint32_t r) { return std::find(starting.begin(), starting.end(), r) != starting.end(); });
  return true;
}

/// Where the KV will stay is decided before the prefill, so that instances are free again right after it.
void ElasticSimulation::launch(Requests prompts, Instances instances, std::optional<std::uint32_t> paused) {
  std::vector<std::int64_t> tokens, used;
  Microseconds const end_us = events_.now_us() + std::llround(prefill_us(prompts, instances.size()));
  for (std::uint32_t const request : prompts) {
    tokens.push_back(flights_[request].prompt_tokens);
    running_.push_back(request);
  }
  for (std::uint32_t const i : instances) used.push_back(used_[i]);
  auto const kept =
      plan_token_retention({.prompt_tokens = tokens, .used_tokens = used, .capacity_tokens = cluster_.kv_tokens});
  ensure(kept.stop == TokenRetentionStop::packed, "a planned elastic batch does not fit its instances");
  for (RetainedRange const& range : kept.ranges)
    hold(prompts[range.prompt], instances[range.instance], range.end - range.begin);
  Prefill prefill{.prompts = std::move(prompts), .instances = instances, .released = {}, .paused = {}};
  for (std::size_t const i : kept.released) prefill.released.push_back(instances[i]);
  bool touches = false;
  for (std::uint32_t const i : instances) {
    touches = touches || work_[i] == InstanceWork::decode;
    work_[i] = InstanceWork::prefill;
  }
  if (paused && touches) {
    prefill.paused = paused;
    ++groups_[*paused].prefills;
    groups_[*paused].steps = 0;
  }
  ++report_.prefill_batches;
  report_.prefill_instances += std::int64_t(instances.size());
  if (cluster_.spans != nullptr)
    for (std::uint32_t const i : instances)
      cluster_.spans->add({events_.now_us(),
                           end_us - events_.now_us(),
                           i,
                           0,
                           {.prompts = std::int64_t(prefill.prompts.size()),
                            .prompt_tokens = std::accumulate(tokens.begin(), tokens.end(), std::int64_t{0})}},
                          1);
  prefills_.push_back(std::move(prefill));
  events_.add(end_us, {EventKind::prefill_done, std::uint32_t(prefills_.size() - 1)});
}

void ElasticSimulation::finish_prefill(std::uint32_t index) {
  Prefill const done = std::move(prefills_[index]);
  Requests decoding;
  for (std::uint32_t const request : done.prompts) {
    RequestOutcome& outcome = report_.outcomes[request];
    if (outcome.first_token_us == never_us) outcome.first_token_us = events_.now_us();
    if (flights_[request].steps_left == 0)
      complete(request);
    else
      decoding.push_back(request);
  }
  join(done, decoding);
  start_on_idle();
}

/// The sequences decode on in a group of the instances that keep them, or in the one that had paused there.
void ElasticSimulation::join(Prefill const& done, Requests const& decoding) {
  std::uint32_t target = done.paused.value_or(std::uint32_t(groups_.size()));
  if (!done.paused) groups_.push_back({});
  Group& group = groups_[target];
  for (std::uint32_t const i : done.instances) {
    bool const released = std::find(done.released.begin(), done.released.end(), i) != done.released.end();
    bool const member = std::find(group.instances.begin(), group.instances.end(), i) != group.instances.end();
    if (!member && released) {
      work_[i] = InstanceWork::idle;
      continue;
    }
    work_[i] = InstanceWork::decode;
    if (!member) group.instances.push_back(i);
  }
  group.joining.insert(group.joining.end(), decoding.begin(), decoding.end());
  if (done.paused && --group.prefills > 0) return;
  boundary(target);
}

ElasticReport simulate(ElasticCluster const& cluster, Workload const& workload) {
  return ElasticSimulation(cluster, workload).run();
}

}  // namespace windlass
