#include <algorithm>
#include <cmath>

#include "src/core/error.hpp"
#include "src/policy/elastic_scaling.hpp"
#include "src/sim/elastic_simulation.hpp"

namespace windlass {

/// Between two steps of a group: who waits may take its instances; else it goes on.
void ElasticSimulation::boundary(std::uint32_t index) {
  if (!groups_[index].alive || groups_[index].prefills > 0) return;
  Group& group = groups_[index];
  group.sequences.insert(group.sequences.end(), group.joining.begin(), group.joining.end());
  group.joining.clear();
  if (group.sequences.empty()) {
    dissolve(group);
    start_on_idle();
    return;
  }
  start_beside(index);
  if (groups_[index].alive && groups_[index].prefills == 0) start_step(index);
}

void ElasticSimulation::dissolve(Group& group) {
  for (std::uint32_t const i : group.instances) work_[i] = InstanceWork::idle;
  group.alive = false;
  group.instances.clear();
}

/// Those that could take this group's KV.
std::vector<std::uint32_t> ElasticSimulation::groups_beside(std::uint32_t index) const {
  std::vector<std::uint32_t> others;
  for (std::uint32_t i = 0; i < groups_.size(); ++i)
    if (i != index && groups_[i].alive && groups_[i].prefills == 0) others.push_back(i);
  return others;
}

/// Moves a group's KV into another one that has room, so that its instances can prefill.
void ElasticSimulation::migrate(std::uint32_t index, std::uint32_t target) {
  std::int64_t moved = 0;
  for (std::uint32_t const request : groups_[index].sequences) {
    std::int64_t left = flights_[request].context;
    moved += left;
    free_kv(request);
    for (std::uint32_t const i : groups_[target].instances) {
      std::int64_t const kept = std::min(left, cluster_.kv_tokens - used_[i]);
      hold(request, i, kept);
      left -= kept;
    }
    ensure(left == 0, "a migration moved more than its target has room for");
    groups_[target].joining.push_back(request);
  }
  groups_[index].sequences.clear();
  ++report_.migrations;
  report_.migrated_tokens += moved;
  dissolve(groups_[index]);
  auto const moving_us = Microseconds(std::llround(cluster_.migration_us_per_token * double(moved)));
  events_.add(events_.now_us() + moving_us, {EventKind::migrated, target});
}

/// Sequences of the busiest master, after idle instances have joined.
std::int64_t ElasticSimulation::scale_up(Group& group) {
  auto const sequences = std::int64_t(group.sequences.size());
  if (cluster_.growth == ElasticGrowth::stays) return sequences;  // one master
  Instances const idle = idle_instances();
  auto const plan = plan_elastic_scaling({.sequences = sequences,
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
  return plan.master_sequences;
}

void ElasticSimulation::start_step(std::uint32_t index) {
  Group& group = groups_[index];
  std::int64_t const master_sequences = scale_up(group);
  double context = 0;
  for (std::uint32_t const request : group.sequences) context += double(flights_[request].context);
  double const us = cluster_.step.at(double(master_sequences), context / double(group.instances.size()));
  Microseconds const step_us = std::max<Microseconds>(1, std::llround(us));
  group.stepping = true;
  ++group.steps;
  if (cluster_.spans != nullptr)
    for (std::uint32_t const i : group.instances)
      cluster_.spans->add(
          {events_.now_us(),
           step_us,
           i,
           1,
           {.sequences = std::int64_t(group.sequences.size()), .sequence_context = std::int64_t(context)}},
          1);
  events_.add(events_.now_us() + step_us, {EventKind::step_done, index});
}

void ElasticSimulation::finish_step(std::uint32_t index) {
  Group& group = groups_[index];
  group.stepping = false;
  Requests sequences;
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
bool ElasticSimulation::append_token(Group& group, std::uint32_t request) {
  auto const less_used = [&](std::uint32_t a, std::uint32_t b) { return used_[a] < used_[b]; };
  std::uint32_t const master = *std::min_element(group.instances.begin(), group.instances.end(), less_used);
  ++flights_[request].context;
  if (used_[master] >= cluster_.kv_tokens) return false;
  hold(request, master, 1);
  return true;
}

std::int64_t ElasticSimulation::generated(std::uint32_t request) const {
  return report_.outcomes[request].decode_steps - flights_[request].steps_left;
}

GrowingSequence ElasticSimulation::growing(std::uint32_t request) const {
  return {.used_tokens = flights_[request].context,
          .remaining_tokens = std::max<std::int64_t>(1, cluster_.predicted_output_tokens - generated(request))};
}

ElasticSimulation::Instances ElasticSimulation::idle_instances() const {
  Instances idle;
  for (std::uint32_t i = 0; i < work_.size(); ++i)
    if (work_[i] == InstanceWork::idle) idle.push_back(i);
  return idle;
}

std::int64_t ElasticSimulation::free_tokens(Instances const& instances) const {
  std::int64_t tokens = 0;
  for (std::uint32_t const i : instances) tokens += cluster_.kv_tokens - used_[i];
  return tokens;
}

void ElasticSimulation::hold(std::uint32_t request, std::uint32_t instance, std::int64_t tokens) {
  flights_[request].held[instance] += tokens;
  used_[instance] += tokens;
}

void ElasticSimulation::free_kv(std::uint32_t request) {
  auto& held = flights_[request].held;
  for (std::size_t i = 0; i < held.size(); ++i) {
    used_[i] -= held[i];
    ensure(used_[i] >= 0, "an elastic instance freed more KV than it held");
    held[i] = 0;
  }
}

/// Its KV is dropped; it is computed again, with what it has generated.
void ElasticSimulation::lose(std::uint32_t request) {
  free_kv(request);
  std::erase(running_, request);
  flights_[request].prompt_tokens = flights_[request].context;
  waiting_.push_front(request);
  ++report_.recomputed;
}

void ElasticSimulation::complete(std::uint32_t request) {
  free_kv(request);
  std::erase(running_, request);
  report_.outcomes[request].finish_us = events_.now_us();
  report_.outcomes[request].end = RequestEnd::completed;
}

}  // namespace windlass
