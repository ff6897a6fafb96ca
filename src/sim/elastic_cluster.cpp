#include "src/sim/elastic_cluster.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>
#include <optional>

#include "src/core/error.hpp"
#include "src/policy/elastic_dispatch.hpp"
#include "src/policy/elastic_scaling.hpp"
#include "src/policy/token_retention.hpp"
#include "src/sim/event_queue.hpp"

namespace windlass {
namespace {

enum class EventKind : std::uint8_t { arrival, prefill_done, step_done, migrated };

struct Event {
  EventKind kind;
  std::uint32_t index;  ///< request, prefill or group
};

using Instances = std::vector<std::uint32_t>;

enum class InstanceWork : std::uint8_t { idle, prefill, decode };

struct Group {
  Instances instances;
  std::vector<std::uint32_t> sequences;
  std::vector<std::uint32_t> joining;  ///< their KV is here or on its way; they decode from the next step on
  int prefills = 0;                    ///< under way on its instances: it pauses
  bool stepping = false, alive = true;
};

struct Prefill {
  std::vector<std::uint32_t> prompts;
  Instances instances, released;
  std::optional<std::uint32_t> paused;  ///< the group that gave its instances
};

struct Flight {
  std::int64_t prompt_tokens = 0;  ///< what a prefill computes: after a loss with what was generated
  std::int64_t context = 0;
  std::int32_t steps_left = 0;
  std::vector<std::int64_t> held;  ///< [instances]
};

class Simulation {
 public:
  Simulation(ElasticCluster const& cluster, Workload const& workload)
      : cluster_(cluster),
        workload_(workload),
        work_(cluster.degree_times.size(), InstanceWork::idle),
        used_(cluster.degree_times.size(), 0),
        flights_(workload.size()) {
    if (work_.empty()) throw InputError("the cluster has no instance; give a prefill time for each degree");
    report_.outcomes.resize(workload.size());
  }

  ElasticReport run();

 private:
  void arrive(std::uint32_t request);
  Instances idle_instances() const;
  GrowingSequence growing(std::uint32_t request) const;
  std::vector<std::uint32_t> choose_prompts(Instances const& instances);
  double prefill_us(std::vector<std::uint32_t> const& prompts, std::size_t degree) const;
  bool start_prefills(Instances const& instances, std::optional<std::uint32_t> paused);
  void launch(std::vector<std::uint32_t> prompts, Instances instances, std::optional<std::uint32_t> paused);
  void finish_prefill(std::uint32_t index);
  void join(Prefill const& done, std::vector<std::uint32_t> const& decoding);
  void boundary(std::uint32_t group);
  bool migrate(std::uint32_t group);
  bool pause_for_prefill(std::uint32_t group);
  void scale_up(Group& group);
  void start_step(std::uint32_t group);
  void finish_step(std::uint32_t group);
  bool append_token(Group& group, std::uint32_t request);
  void lose(std::uint32_t request);
  void free_kv(std::uint32_t request);
  void complete(std::uint32_t request);
  void dissolve(Group& group);
  std::int64_t free_tokens(Instances const& instances) const;

  ElasticCluster const& cluster_;
  Workload const& workload_;
  ElasticReport report_;
  EventQueue<Event> events_;
  std::vector<InstanceWork> work_;
  std::vector<std::int64_t> used_;
  std::vector<Flight> flights_;
  std::deque<std::uint32_t> waiting_;
  std::vector<Prefill> prefills_;
  std::vector<Group> groups_;
  std::vector<std::uint32_t> running_;  ///< that prefill or decode
  std::int32_t overtaken_ = 0;          ///< rounds in a row in which the oldest prompt was passed
};

ElasticReport Simulation::run() {
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

std::int64_t Simulation::free_tokens(Instances const& instances) const {
  std::int64_t tokens = 0;
  for (std::uint32_t const i : instances) tokens += cluster_.kv_tokens - used_[i];
  return tokens;
}

Instances Simulation::idle_instances() const {
  Instances idle;
  for (std::uint32_t i = 0; i < work_.size(); ++i)
    if (work_[i] == InstanceWork::idle) idle.push_back(i);
  return idle;
}

void Simulation::arrive(std::uint32_t request) {
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
  start_prefills(idle_instances(), std::nullopt);
}

GrowingSequence Simulation::growing(std::uint32_t request) const {
  Flight const& flight = flights_[request];
  std::int64_t const generated = report_.outcomes[request].decode_steps - flight.steps_left;
  return {.used_tokens = flight.context,
          .remaining_tokens = std::max<std::int64_t>(1, cluster_.predicted_output_tokens - generated)};
}

double Simulation::prefill_us(std::vector<std::uint32_t> const& prompts, std::size_t degree) const {
  double sum = 0, squares = 0;
  for (std::uint32_t const request : prompts) {
    double const tokens = double(flights_[request].prompt_tokens);
    sum += tokens;
    squares += tokens * tokens;
  }
  ElasticDegreeTime const& time = cluster_.degree_times[degree - 1];
  return time.base_us + time.per_token_us * sum + time.per_square_us * squares;
}

std::vector<std::uint32_t> Simulation::choose_prompts(Instances const& instances) {
  std::vector<GrowingSequence> waiting, running;
  for (std::uint32_t const request : waiting_) waiting.push_back(growing(request));
  for (std::uint32_t const request : running_) running.push_back(growing(request));
  auto const plan = plan_elastic_dispatch({.waiting = waiting,
                                           .running = running,
                                           .capacity_tokens = cluster_.kv_tokens * std::int64_t(work_.size()),
                                           .free_tokens = free_tokens(instances),
                                           .time = cluster_.degree_times[instances.size() - 1],
                                           .max_prefill_us = double(cluster_.max_prefill_us),
                                           .overtaken = overtaken_,
                                           .max_overtaking = cluster_.max_overtaking});
  overtaken_ = plan.overtaken;
  std::vector<std::uint32_t> chosen;
  for (std::size_t const i : plan.chosen) chosen.push_back(waiting_[i]);
  return chosen;
}

/// Whether any prompt started on these instances.
bool Simulation::start_prefills(Instances const& instances, std::optional<std::uint32_t> paused) {
  if (instances.empty() || waiting_.empty()) return false;
  Instances ordered = instances;
  std::stable_sort(ordered.begin(), ordered.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return used_[a] < used_[b]; });
  auto const chosen = choose_prompts(ordered);
  if (chosen.empty()) return false;
  std::vector<std::int64_t> tokens, room;
  for (std::uint32_t const request : chosen) tokens.push_back(flights_[request].prompt_tokens);
  for (std::uint32_t const i : ordered) room.push_back(cluster_.kv_tokens - used_[i]);
  auto const plan =
      plan_elastic_batches({.prompt_tokens = tokens, .free_tokens = room, .degree_times = cluster_.degree_times});
  if (plan.stop != ElasticBatchingStop::planned) return false;
  for (ElasticBatch const& batch : plan.batches) {
    std::vector<std::uint32_t> prompts;
    for (std::size_t const i : batch.prompts) prompts.push_back(chosen[i]);
    auto const first = ordered.begin() + std::ptrdiff_t(batch.first_instance);
    launch(std::move(prompts), {first, first + std::ptrdiff_t(batch.instances)}, paused);
  }
  std::erase_if(waiting_, [&](std::uint32_t r) { return std::find(chosen.begin(), chosen.end(), r) != chosen.end(); });
  return true;
}

/// Where the KV will stay is decided before the prefill, so that instances are free again right after it.
void Simulation::launch(std::vector<std::uint32_t> prompts, Instances instances, std::optional<std::uint32_t> paused) {
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
  for (RetainedRange const& range : kept.ranges) {
    std::uint32_t const instance = instances[range.instance];
    flights_[prompts[range.prompt]].held[instance] += range.end - range.begin;
    used_[instance] += range.end - range.begin;
  }
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

void Simulation::finish_prefill(std::uint32_t index) {
  Prefill const done = std::move(prefills_[index]);
  std::vector<std::uint32_t> decoding;
  for (std::uint32_t const request : done.prompts) {
    RequestOutcome& outcome = report_.outcomes[request];
    if (outcome.first_token_us == never_us) outcome.first_token_us = events_.now_us();
    if (flights_[request].steps_left == 0)
      complete(request);
    else
      decoding.push_back(request);
  }
  join(done, decoding);
  start_prefills(idle_instances(), std::nullopt);
}

/// The sequences decode on in a group of the instances that keep them, or in the one that had paused there.
void Simulation::join(Prefill const& done, std::vector<std::uint32_t> const& decoding) {
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

/// Between two steps of a group: who waits may take its instances; else it goes on.
void Simulation::boundary(std::uint32_t index) {
  if (!groups_[index].alive || groups_[index].prefills > 0) return;
  Group& group = groups_[index];
  group.sequences.insert(group.sequences.end(), group.joining.begin(), group.joining.end());
  group.joining.clear();
  if (group.sequences.empty()) {
    dissolve(group);
    start_prefills(idle_instances(), std::nullopt);
    return;
  }
  if (!waiting_.empty() && (migrate(index) || pause_for_prefill(index))) return;
  scale_up(groups_[index]);
  start_step(index);
}

void Simulation::dissolve(Group& group) {
  for (std::uint32_t const i : group.instances) work_[i] = InstanceWork::idle;
  group.alive = false;
  group.instances.clear();
}

/// Moves a small group's KV into another group that has room, so that its instances can prefill.
bool Simulation::migrate(std::uint32_t index) {
  std::int64_t tokens = 0, growth = 0;
  for (std::uint32_t const request : groups_[index].sequences) {
    tokens += flights_[request].context;
    growth += cluster_.predicted_output_tokens;
  }
  for (std::uint32_t to = 0; to < groups_.size(); ++to) {
    if (to == index || !groups_[to].alive || groups_[to].prefills > 0) continue;
    if (free_tokens(groups_[to].instances) < tokens + growth) continue;
    for (std::uint32_t const request : groups_[index].sequences) {
      std::int64_t left = flights_[request].context;
      free_kv(request);
      for (std::uint32_t const i : groups_[to].instances) {
        std::int64_t const kept = std::min(left, cluster_.kv_tokens - used_[i]);
        flights_[request].held[i] += kept;
        used_[i] += kept;
        left -= kept;
      }
      ensure(left == 0, "a migration moved more than its target has room for");
      groups_[to].joining.push_back(request);
    }
    ++report_.migrations;
    report_.migrated_tokens += tokens;
    dissolve(groups_[index]);
    auto const moving_us = Microseconds(std::llround(cluster_.migration_us_per_token * double(tokens)));
    events_.add(events_.now_us() + moving_us, {EventKind::migrated, to});
    start_prefills(idle_instances(), std::nullopt);
    return true;
  }
  return false;
}

bool Simulation::pause_for_prefill(std::uint32_t index) {
  Instances instances = idle_instances();
  instances.insert(instances.end(), groups_[index].instances.begin(), groups_[index].instances.end());
  if (!start_prefills(instances, index)) return false;
  if (groups_[index].prefills == 0) return false;  // idle instances were enough
  ++report_.pauses;
  return true;
}

void Simulation::scale_up(Group& group) {
  Instances const idle = idle_instances();
  auto const plan = plan_elastic_scaling({.sequences = std::int64_t(group.sequences.size()),
                                          .instances = std::int64_t(group.instances.size()),
                                          .free_tokens = free_tokens(group.instances),
                                          .idle_instances = std::int64_t(idle.size()),
                                          .max_sequences = cluster_.scale_up_sequences,
                                          .instance_tokens = cluster_.kv_tokens});
  for (std::size_t i = 0; i < std::size_t(plan.added); ++i) {
    group.instances.push_back(idle[i]);
    work_[idle[i]] = InstanceWork::decode;
    ++report_.scale_ups;
  }
}

void Simulation::start_step(std::uint32_t index) {
  Group& group = groups_[index];
  double context = 0;
  for (std::uint32_t const request : group.sequences) context += double(flights_[request].context);
  double const degree = double(group.instances.size());
  double const us = cluster_.step.at(std::ceil(double(group.sequences.size()) / degree), context / degree);
  group.stepping = true;
  if (cluster_.spans != nullptr)
    for (std::uint32_t const i : group.instances)
      cluster_.spans->add(
          {events_.now_us(),
           std::max<Microseconds>(1, std::llround(us)),
           i,
           1,
           {.sequences = std::int64_t(group.sequences.size()), .sequence_context = std::int64_t(context)}},
          1);
  events_.add(events_.now_us() + std::max<Microseconds>(1, std::llround(us)), {EventKind::step_done, index});
}

void Simulation::finish_step(std::uint32_t index) {
  Group& group = groups_[index];
  group.stepping = false;
  std::vector<std::uint32_t> sequences;
  sequences.swap(group.sequences);
  for (std::uint32_t const request : sequences) {
    if (--flights_[request].steps_left == 0)
      complete(request);
    else if (append_token(group, request))
      group.sequences.push_back(request);
    else
      lose(request);
  }
  boundary(index);
}

/// The new token's KV goes to the group's instance with most room, its master. False where none has any.
bool Simulation::append_token(Group& group, std::uint32_t request) {
  auto const less_used = [&](std::uint32_t a, std::uint32_t b) { return used_[a] < used_[b]; };
  std::uint32_t const master = *std::min_element(group.instances.begin(), group.instances.end(), less_used);
  ++flights_[request].context;
  if (used_[master] >= cluster_.kv_tokens) return false;
  ++flights_[request].held[master];
  ++used_[master];
  return true;
}

/// Its KV is dropped; it is computed again, with what it has generated.
void Simulation::lose(std::uint32_t request) {
  free_kv(request);
  std::erase(running_, request);
  flights_[request].prompt_tokens = flights_[request].context;
  waiting_.push_front(request);
  ++report_.recomputed;
}

void Simulation::free_kv(std::uint32_t request) {
  auto& held = flights_[request].held;
  for (std::size_t i = 0; i < held.size(); ++i) {
    used_[i] -= held[i];
    ensure(used_[i] >= 0, "an elastic instance freed more KV than it held");
    held[i] = 0;
  }
}

void Simulation::complete(std::uint32_t request) {
  free_kv(request);
  std::erase(running_, request);
  report_.outcomes[request].finish_us = events_.now_us();
  report_.outcomes[request].end = RequestEnd::completed;
}

}  // namespace

ElasticReport simulate(ElasticCluster const& cluster, Workload const& workload) {
  return Simulation(cluster, workload).run();
}

}  // namespace windlass
