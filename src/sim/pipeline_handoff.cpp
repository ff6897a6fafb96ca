// The way of a prompt's KV from the instance that made it to the one that decodes.
#include <algorithm>
#include <cmath>

#include "src/policy/decode_pull.hpp"
#include "src/policy/dispatch.hpp"
#include "src/sim/pipeline_simulation.hpp"

namespace windlass {

void PipelineSimulation::after_prefill(std::uint32_t instance, std::uint32_t request) {
  bool const stays = instances_[instance].role == SimRole::mixed;
  if (emit_prefill_token(request)) return complete(instance, request);
  if (stays) return join_decode(instance, request);
  offer(request);
}

/// Shows a prefilled prompt to the least loaded instance that decodes; it waits where there is none.
void PipelineSimulation::offer(std::uint32_t request) {
  auto const plan = plan_dispatch({.load = decode_load_});
  places_[request].phase = Phase::offered;
  if (plan.stop == DispatchStop::no_instance) {
    unassigned_.push_back(request);
    return;
  }
  auto const to = std::uint32_t(plan.instance);
  ++decode_load_[to];
  ++instances_[to].attached;
  places_[request].decoder = to;
  instances_[to].offers.push(request);
  pull(to);
}

void PipelineSimulation::pull(std::uint32_t instance) {
  Instance& puller = instances_[instance];
  std::int64_t const pool = cluster_.instances[instance].kv_tokens;
  while (!puller.offers.empty()) {
    std::uint32_t const request = puller.offers.front();
    std::int64_t const tokens[] = {whole_tokens(request)};
    auto const plan = plan_decode_pull(
        {.pages = tokens, .free_pages = pool - puller.used_kv_tokens, .pool_pages = pool, .waiting_pages = 0});
    if (plan.offers == 0) return;
    puller.offers.pop();
    reserve(instance, tokens[0]);
    transfer(request, instance);
  }
}

void PipelineSimulation::transfer(std::uint32_t request, std::uint32_t to) {
  std::int64_t const tokens = progress_[request].context;
  report_.transferred_tokens += tokens;
  places_[request].phase = Phase::moving;
  if (cluster_.link.bytes_per_us <= 0) return join_decode(to, request);
  double const bytes = double(tokens) * cluster_.link.kv_bytes_per_token;
  std::uint32_t const from = places_[request].prefiller;
  if (cluster_.link.fabric_bytes_per_us > 0) {
    fabric_.add(events_.now_us(), {.id = request, .sender = from, .bytes = bytes});
    return time_fabric();
  }
  Microseconds& free_us = instances_[from].link_free_us;
  free_us = std::max(free_us, events_.now_us()) + Microseconds(std::llround(bytes / cluster_.link.bytes_per_us));
  events_.add(free_us + cluster_.link.latency_us, {EventKind::kv_arrived, places_[request].attempt, 0, to, request});
}

/// The end of the next transfer, as things are: an earlier forecast says nothing any more.
void PipelineSimulation::time_fabric() {
  ++fabric_version_;
  if (!fabric_.empty()) events_.add(fabric_.next_done_us(), {EventKind::fabric_done, 0, 0, 0, fabric_version_});
}

void PipelineSimulation::finish_fabric(std::uint32_t version) {
  if (version != fabric_version_) return;
  for (std::uint32_t const request : fabric_.take_done(events_.now_us()))
    events_.add(events_.now_us() + cluster_.link.latency_us,
                {EventKind::kv_arrived, places_[request].attempt, 0, places_[request].decoder, request});
  time_fabric();
}

void PipelineSimulation::join_decode(std::uint32_t instance, std::uint32_t request) {
  Place& place = places_[request];
  place.phase = Phase::decode;
  if (std::uint32_t const from = place.prefiller; from != instance) {
    reserve(from, -std::int64_t(progress_[request].context));
    --instances_[from].attached;
    change_when_empty(from);
    wake(from, 0);
  }
  Stage& first = instances_[instance].stages[0];
  first.sequences.push(request);
  first.queued_context += progress_[request].context;
  wake(instance, 0);
}

}  // namespace windlass
