// Instances that fail, come back or change their role.
#include <algorithm>
#include <utility>

#include "src/policy/dispatch.hpp"
#include "src/sim/pipeline_simulation.hpp"

namespace windlass {

void PipelineSimulation::schedule_changes() {
  for (InstanceFailure const& failure : cluster_.failures) {
    events_.add(failure.at_us, {EventKind::failure, 0, 0, failure.instance, 0});
    if (failure.repaired_us != never_us)
      events_.add(failure.repaired_us, {EventKind::repair, 0, 0, failure.instance, 0});
  }
  if (cluster_.roles) events_.add(cluster_.roles->window_us, {EventKind::control, 0, 0, 0, 0});
}

void PipelineSimulation::open(std::uint32_t index) {
  Instance const& instance = instances_[index];
  if (instance.role != SimRole::decode) prefill_load_[index] = 0;
  if (instance.role == SimRole::decode) decode_load_[index] = 0;
  for (std::uint32_t const request : std::exchange(orphans_, {})) dispatch(request);
  for (std::uint32_t const request : std::exchange(unassigned_, {})) offer(request);
}

void PipelineSimulation::close(std::uint32_t index) {
  prefill_load_[index] = unavailable_load;
  decode_load_[index] = unavailable_load;
}

/// All that was on the instance is lost; its requests start again, or are shown to another decode instance.
void PipelineSimulation::fail(std::uint32_t index) {
  Instance& instance = instances_[index];
  if (!instance.alive) return;
  close(index);
  ++report_.failures;
  ++instance.epoch;
  std::size_t const stages = instance.stages.size();
  instance = {.stages = std::vector<Stage>(stages),
              .offers = {},
              .admitted = {},
              .shares = {},
              .epoch = instance.epoch,
              .role = instance.next_role,
              .next_role = instance.next_role,
              .alive = false};
  for (std::uint32_t request = 0; request < places_.size(); ++request)
    if (places_[request].phase != Phase::outside) displace(index, request);
}

/// What the failure of `failed` means for a request that is somewhere.
void PipelineSimulation::displace(std::uint32_t failed, std::uint32_t request) {
  Place& place = places_[request];
  bool const waits = place.phase == Phase::offered || place.phase == Phase::moving;
  bool const unassigned = std::find(unassigned_.begin(), unassigned_.end(), request) != unassigned_.end();
  bool const at_prefiller = place.prefiller == failed && (waits || place.phase == Phase::prefill);
  bool const at_decoder = place.decoder == failed && place.phase != Phase::prefill && !unassigned;
  if (!at_prefiller && !at_decoder) return;
  if (place.phase == Phase::moving) {
    fabric_.remove(events_.now_us(), request);
    time_fabric();
  }
  ++place.attempt;
  if (at_decoder && !at_prefiller) {  // a waiting prompt still has its KV at the prefiller
    if (waits) return offer(request);
    return restart(request);
  }
  if (unassigned) std::erase(unassigned_, request);
  if (waits && !unassigned && place.decoder != failed) {
    Instance& decoder = instances_[place.decoder];
    if (place.phase == Phase::moving) reserve(place.decoder, -whole_tokens(request));
    if (place.phase == Phase::offered) decoder.offers.remove(request);
    --decoder.attached;
    if (decode_load_[place.decoder] != unavailable_load) --decode_load_[place.decoder];
    change_when_empty(place.decoder);
  }
  restart(request);
}

/// From the prompt and what was generated: KV is lost, tokens are not.
void PipelineSimulation::restart(std::uint32_t request) {
  Place& place = places_[request];
  place.phase = Phase::outside;
  if (++place.restarts > cluster_.max_restarts) {
    report_.outcomes[request].end = RequestEnd::failed;
    --unfinished_;
    arrive_next();
    return;
  }
  ++report_.restarts;
  dispatch(request);
}

void PipelineSimulation::repair(std::uint32_t index) {
  if (instances_[index].alive) return;
  instances_[index].alive = true;
  open(index);
}

/// One round of the ratio control: compares the last window with the best so far.
void PipelineSimulation::control() {
  RoleControl const& rules = *cluster_.roles;
  if (window_requests_ > 0) {
    double const e2e_ms = window_e2e_ms_ / double(window_requests_), share = window_ttft_ms_ / window_e2e_ms_;
    if (least_e2e_ms_ == 0 || e2e_ms < least_e2e_ms_) least_e2e_ms_ = e2e_ms, least_ttft_share_ = share;
    int counts[3] = {};
    for (std::size_t i = 0; i < instances_.size(); ++i)
      if (prefill_load_[i] != unavailable_load || decode_load_[i] != unavailable_load)
        ++counts[std::size_t(instances_[i].role)];
    auto const plan = plan_role_adjustment({.profile = rules.profile,
                                            .prefill = counts[std::size_t(SimRole::prefill)],
                                            .decode = counts[std::size_t(SimRole::decode)],
                                            .e2e_ms = e2e_ms,
                                            .baseline_e2e_ms = least_e2e_ms_,
                                            .ttft_share = share,
                                            .baseline_ttft_share = least_ttft_share_,
                                            .hysteresis = rules.hysteresis});
    if (plan.to_prefill > 0) drain(SimRole::decode, SimRole::prefill);
    if (plan.to_prefill < 0) drain(SimRole::prefill, SimRole::decode);
  }
  window_e2e_ms_ = window_ttft_ms_ = 0;
  window_requests_ = 0;
  if (!events_.empty()) events_.add(events_.now_us() + rules.window_us, {EventKind::control, 0, 0, 0, 0});
}

/// The least loaded instance of one role admits nothing more, and takes the other role once it is empty.
void PipelineSimulation::drain(SimRole from, SimRole to) {
  auto const& load = from == SimRole::prefill ? prefill_load_ : decode_load_;
  auto const plan = plan_dispatch({.load = load});
  if (plan.stop == DispatchStop::no_instance) return;
  auto const index = std::uint32_t(plan.instance);
  close(index);
  instances_[index].next_role = to;
  change_when_empty(index);
}

void PipelineSimulation::change_when_empty(std::uint32_t index) {
  Instance const& instance = instances_[index];
  if (instance.next_role == instance.role || instance.attached > 0 || !instance.alive) return;
  events_.add(events_.now_us() + cluster_.roles->switch_us, {EventKind::role_changed, instance.epoch, 0, index, 0});
}

void PipelineSimulation::change_role(std::uint32_t index) {
  Instance& instance = instances_[index];
  if (instance.next_role == instance.role) return;
  instance.role = instance.next_role;
  ++report_.role_changes;
  open(index);
}

/// Nothing happens any more: who still waits, waits for an instance that never came back.
void PipelineSimulation::end_orphans() {
  for (std::uint32_t request = 0; request < places_.size(); ++request) {
    if (report_.outcomes[request].end != RequestEnd::unfinished) continue;
    if (places_[request].phase == Phase::offered)
      reserve(places_[request].prefiller, -std::int64_t(progress_[request].context));
    report_.outcomes[request].end = RequestEnd::failed;
  }
}

}  // namespace windlass
