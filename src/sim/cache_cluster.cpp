#include "src/sim/cache_cluster.hpp"

#include <algorithm>
#include <cmath>

#include "src/core/error.hpp"
#include "src/policy/dispatch.hpp"
#include "src/policy/pipeline_prefill.hpp"
#include "src/sim/event_queue.hpp"
#include "src/sim/tiered_cache.hpp"

namespace windlass {
namespace {

enum class EventKind : std::uint8_t { arrival, prefilled, handed_off, step_done, sample };

struct Event {
  EventKind kind;
  std::uint32_t instance;
  std::uint32_t request;
};

struct PrefillInstance {
  TieredCache cache;
  Microseconds free_us = 0;                ///< when all that is assigned will be done
  Microseconds link_free_us = 0;           ///< when it could send
  std::vector<Microseconds> tier_free_us;  ///< when each tier's link could load
  std::int64_t queued_tokens = 0;
};

struct DecodeInstance {
  std::vector<std::uint32_t> sequences, joining;
  std::int64_t context_tokens = 0;  ///< of `sequences` and `joining`
  bool stepping = false;
  double count() const { return double(sequences.size() + joining.size()); }
};

struct Flight {
  std::uint32_t prefill = 0, decode = 0;
  Microseconds prefill_us = 0;  ///< what its prefill costs, on each stage
  std::int64_t new_tokens = 0;  ///< that it computes
  Microseconds decodes_from_us = 0;
  std::int32_t context = 0, steps_left = 0;
};

class Simulation {
 public:
  Simulation(CacheCluster const& cluster, Workload const& workload);
  CacheReport run();

 private:
  void handle(Event const& event);
  void arrive(std::uint32_t request);
  void gather_candidates(SimRequest const& request);
  RoutePlan choose_prefill(std::uint32_t request);
  double step_with(DecodeInstance const& instance, std::int64_t prompt_tokens) const;
  std::uint32_t choose_decode(std::int64_t prompt_tokens);
  RejectionStop admit(std::uint32_t request, RoutePlan const& route, std::uint32_t decode);
  void assign(std::uint32_t request, RoutePlan const& route, std::uint32_t decode);
  Microseconds fetch(SimRequest const& request, RoutePlan const& route);
  Microseconds load(SimRequest const& request, std::uint32_t instance, RoutePlan& route);
  Microseconds& tier_link(std::uint32_t instance, std::size_t tier);
  void finish_prefill(std::uint32_t request);
  void join(std::uint32_t request);
  void start_step(std::uint32_t instance);
  void finish_step(std::uint32_t instance);
  void sample();

  CacheCluster const& cluster_;
  Workload const& workload_;
  CacheReport report_;
  EventQueue<Event> events_;
  std::vector<PrefillInstance> prefill_;
  std::vector<DecodeInstance> decode_;
  std::vector<Flight> flights_;
  std::vector<RouteCandidate> candidates_;
  std::vector<std::int64_t> decode_step_us_;  ///< scratch of choose_decode
  std::vector<DecodeForecast> forecast_;      ///< scratch of admit
  std::vector<std::uint32_t> active_;         ///< admitted and not done
  RandomStream random_;
};

Simulation::Simulation(CacheCluster const& cluster, Workload const& workload)
    : cluster_(cluster), workload_(workload), flights_(workload.size()), random_(cluster.seed, 1) {
  if (cluster.prefill_instances < 1 || cluster.decode_instances < 1)
    throw InputError("the cluster needs at least one prefill and one decode instance");
  std::vector<std::size_t> capacities{cluster.cache_blocks};
  for (CacheTier const& tier : cluster.tiers) capacities.push_back(tier.blocks);
  prefill_.assign(std::size_t(cluster.prefill_instances),
                  {.cache{capacities, cluster.eviction}, .tier_free_us = std::vector<Microseconds>(capacities.size())});
  report_.tier_hit_blocks.resize(capacities.size());
  decode_.resize(std::size_t(cluster.decode_instances));
  decode_step_us_.resize(decode_.size());
  report_.outcomes.resize(workload.size());
}

CacheReport Simulation::run() {
  if (!workload_.empty()) {
    events_.add(workload_[0].arrival_us, {EventKind::arrival, 0, 0});
    events_.add(workload_[0].arrival_us, {EventKind::sample, 0, 0});
  }
  while (!events_.empty()) {
    Event const event = events_.take();
    handle(event);
  }
  return std::move(report_);
}

void Simulation::handle(Event const& event) {
  switch (event.kind) {
    case EventKind::arrival:
      return arrive(event.request);
    case EventKind::prefilled:
      return finish_prefill(event.request);
    case EventKind::handed_off:
      return join(event.request);
    case EventKind::step_done:
      return finish_step(event.instance);
    case EventKind::sample:
      return sample();
  }
}

void Simulation::sample() {
  double load = 0;
  for (DecodeInstance const& instance : decode_)
    load += cluster_.step.at(instance.count(), double(instance.context_tokens)) / (cluster_.level.tpot_ms * 1000);
  report_.decode_loads.push_back(load / double(decode_.size()));
  constexpr Microseconds second_us = 1'000'000;
  if (events_.now_us() + second_us <= workload_.back().arrival_us)
    events_.add(events_.now_us() + second_us, {EventKind::sample, 0, 0});
}

void Simulation::gather_candidates(SimRequest const& request) {
  double const now = double(events_.now_us());
  candidates_.clear();
  for (PrefillInstance const& instance : prefill_)
    candidates_.push_back({.queue_us = std::max(0.0, double(instance.free_us) - now),
                           .queue_tokens = instance.queued_tokens,
                           .cached_tokens = std::min<std::int64_t>(
                               std::int64_t(instance.cache.match(request.block_hashes)) * cluster_.block_tokens,
                               request.lengths.prompt_tokens - 1),
                           .sender_backlog_us = std::max(0.0, double(instance.link_free_us) - now),
                           .handoff_us = 0});
}

RoutePlan Simulation::choose_prefill(std::uint32_t request) {
  SimRequest const& routed = workload_[request];
  gather_candidates(routed);
  std::size_t only = 0;
  if (cluster_.choice == PrefillChoice::random) only = random_.below(prefill_.size());
  if (cluster_.choice == PrefillChoice::session)
    only = random_bits(cluster_.seed, 2, std::uint64_t(routed.session)) % prefill_.size();
  bool const free_choice = cluster_.choice == PrefillChoice::by_cost;
  std::span<RouteCandidate const> const all(candidates_);
  auto plan = plan_route({.candidates = free_choice ? all : all.subspan(only, 1),
                          .prompt_tokens = routed.lengths.prompt_tokens,
                          .prefill = cluster_.prefill,
                          .fetch_us_per_token = cluster_.kv_us_per_token,
                          .ttft_limit_us = cluster_.level.ttft_ms * 1000,
                          .rule = cluster_.route});
  if (!free_choice) plan.instance = only;
  if (cluster_.kept != KeptKv::nothing)  // a route that ignores caches still lands on one
    plan.cached_tokens = std::max(plan.cached_tokens, candidates_[plan.instance].cached_tokens);
  return plan;
}

double Simulation::step_with(DecodeInstance const& instance, std::int64_t prompt_tokens) const {
  return cluster_.step.at(instance.count() + 1, double(instance.context_tokens + prompt_tokens));
}

std::uint32_t Simulation::choose_decode(std::int64_t prompt_tokens) {
  for (std::size_t i = 0; i < decode_.size(); ++i)
    decode_step_us_[i] = std::llround(step_with(decode_[i], prompt_tokens));
  return std::uint32_t(plan_dispatch({.load = decode_step_us_}).instance);
}

RejectionStop Simulation::admit(std::uint32_t request, RoutePlan const& route, std::uint32_t decode) {
  forecast_.clear();
  if (cluster_.rejection == RejectionRule::predictive)
    for (std::uint32_t const each : active_)
      forecast_.push_back(
          {.decodes_from_us = flights_[each].decodes_from_us, .context_tokens = flights_[each].context});
  Microseconds const now = events_.now_us();
  return plan_early_rejection({.rule = cluster_.rejection,
                               .predicted_ttft_us = route.ttft_us,
                               .ttft_limit_us = cluster_.level.ttft_ms * 1000,
                               .tbt_limit_us = cluster_.level.tpot_ms * 1000,
                               .decode_step_us = double(decode_step_us_[decode]),
                               .first_token_at_us = now + std::llround(route.ttft_us),
                               .decode_duration_us = cluster_.decode_duration_us,
                               .sequences = forecast_,
                               .decode_instances = cluster_.decode_instances,
                               .context_tokens = workload_[request].lengths.prompt_tokens,
                               .step = cluster_.step})
      .stop;
}

void Simulation::arrive(std::uint32_t request) {
  if (request + 1 < workload_.size())
    events_.add(workload_[request + 1].arrival_us, {EventKind::arrival, 0, request + 1});
  RequestOutcome& outcome = report_.outcomes[request];
  outcome.arrival_us = workload_[request].arrival_us;
  outcome.lengths = workload_[request].lengths;
  outcome.decode_steps = std::max(0, outcome.lengths.output_tokens - 1);
  RoutePlan const route = choose_prefill(request);
  std::uint32_t const decode = choose_decode(outcome.lengths.prompt_tokens);
  RejectionStop const stop = admit(request, route, decode);
  if (stop == RejectionStop::admitted) return assign(request, route, decode);
  outcome.end = RequestEnd::rejected_at_arrival;
  report_.rejected_for_prefill += stop == RejectionStop::prefill_overloaded;
  report_.rejected_for_decode += stop == RejectionStop::decode_overloaded;
}

/// When the prefix is there: now, or when the holder has sent it.
Microseconds Simulation::fetch(SimRequest const& request, RoutePlan const& route) {
  if (!route.source) return events_.now_us();
  PrefillInstance& holder = prefill_[*route.source];
  std::int64_t const tokens = route.cached_tokens - candidates_[route.instance].cached_tokens;
  holder.link_free_us = std::max(holder.link_free_us, events_.now_us()) +
                        Microseconds(std::llround(double(tokens) * cluster_.kv_us_per_token));
  holder.cache.insert(std::span(request.block_hashes).first(holder.cache.match(request.block_hashes)));
  report_.fetched_tokens += tokens;
  return holder.link_free_us;
}

Microseconds& Simulation::tier_link(std::uint32_t instance, std::size_t tier) {
  bool const shared = tier > 0 && cluster_.tiers[tier - 1].shared_link;
  return prefill_[shared ? 0 : instance].tier_free_us[tier];
}

/// Takes matched blocks from slower tiers as long as that ends the prefill earlier than computing them; lowers
/// `route.cached_tokens` to what is taken. When the last of them is there.
Microseconds Simulation::load(SimRequest const& request, std::uint32_t instance, RoutePlan& route) {
  auto const tiers = prefill_[instance].cache.tiers_of(request.block_hashes);
  Microseconds const now = events_.now_us(), start_us = std::max(now, prefill_[instance].free_us);
  std::vector<Microseconds> free_us;
  for (std::size_t tier = 0; tier < report_.tier_hit_blocks.size(); ++tier)
    free_us.push_back(std::max(now, tier_link(instance, tier)));
  auto const end_us = [&](std::int64_t cached, Microseconds all_loaded_us) {
    double const prefill_us = cluster_.prefill.at(double(request.lengths.prompt_tokens), double(cached));
    return std::max(start_us + Microseconds(std::llround(prefill_us)), all_loaded_us);
  };
  std::vector<Microseconds> best_free = free_us;
  std::size_t best = 0;
  Microseconds best_end = end_us(0, now), loaded_us = now, best_loaded = now;
  for (std::size_t i = 0; i < tiers.size(); ++i) {
    if (std::size_t const tier = tiers[i]; tier > 0) {
      free_us[tier] += std::llround(cluster_.tiers[tier - 1].load_us_per_token * cluster_.block_tokens);
      loaded_us = std::max(loaded_us, free_us[tier]);
    }
    auto const cached =
        std::min<std::int64_t>(std::int64_t(i + 1) * cluster_.block_tokens, request.lengths.prompt_tokens - 1);
    if (Microseconds const end = end_us(cached, loaded_us); end <= best_end) {
      best_end = end, best = i + 1, best_loaded = loaded_us, best_free = free_us;
      route.cached_tokens = cached;
    }
  }
  if (best == 0) route.cached_tokens = 0;
  for (std::size_t tier = 1; tier < best_free.size(); ++tier) tier_link(instance, tier) = best_free[tier];
  for (std::size_t i = 0; i < best; ++i) ++report_.tier_hit_blocks[tiers[i]];
  return best_loaded;
}

void Simulation::assign(std::uint32_t request, RoutePlan const& routed, std::uint32_t decode) {
  SimRequest const& assigned = workload_[request];
  RoutePlan route = routed;
  PrefillInstance& instance = prefill_[route.instance];
  Microseconds const ready_us = fetch(assigned, route);
  bool const loads = !cluster_.tiers.empty() && cluster_.kept != KeptKv::nothing && !route.source;
  Microseconds const loaded_us = loads ? load(assigned, std::uint32_t(route.instance), route) : 0;
  if (route.replicate_from && !route.source) {
    // the hot prefix goes to the chosen instance beside its prefill: it costs the holder's link, nobody waits for it
    std::int64_t const tokens = candidates_[*route.replicate_from].cached_tokens - route.cached_tokens;
    PrefillInstance& holder = prefill_[*route.replicate_from];
    holder.link_free_us = std::max(holder.link_free_us, events_.now_us()) +
                          Microseconds(std::llround(double(tokens) * cluster_.kv_us_per_token));
    report_.replicated_tokens += tokens;
  }
  Flight& flight = flights_[request];
  flight.prefill = std::uint32_t(route.instance);
  flight.decode = decode;
  auto const pipeline = plan_pipeline_prefill({.prompt_tokens = assigned.lengths.prompt_tokens,
                                               .cached_tokens = route.cached_tokens,
                                               .stages = cluster_.stages,
                                               .chunk_tokens = cluster_.chunk_tokens,
                                               .prefill = cluster_.prefill,
                                               .hop_us = cluster_.hop_us});
  flight.prefill_us = std::llround(pipeline.stage_us);
  instance.free_us = std::max(std::max(instance.free_us, ready_us) + flight.prefill_us, loaded_us);
  Microseconds const done_us = instance.free_us + std::llround(pipeline.first_token_us - pipeline.stage_us);
  flight.new_tokens = assigned.lengths.prompt_tokens - route.cached_tokens;
  if (cluster_.spans != nullptr)
    cluster_.spans->add({instance.free_us - flight.prefill_us,
                         flight.prefill_us,
                         std::uint32_t(route.instance),
                         0,
                         {.prompts = 1, .prompt_tokens = flight.new_tokens}},
                        cluster_.stages);
  instance.queued_tokens += flight.new_tokens;
  flight.decodes_from_us = done_us;
  flight.context = assigned.lengths.prompt_tokens;
  flight.steps_left = report_.outcomes[request].decode_steps;
  active_.push_back(request);
  report_.prompt_blocks += std::int64_t(assigned.block_hashes.size());
  report_.hit_blocks += route.cached_tokens / cluster_.block_tokens;
  if (cluster_.kept != KeptKv::nothing) instance.cache.insert(assigned.block_hashes);
  events_.add(done_us, {EventKind::prefilled, std::uint32_t(route.instance), request});
}

void Simulation::finish_prefill(std::uint32_t request) {
  Flight& flight = flights_[request];
  RequestOutcome& outcome = report_.outcomes[request];
  std::int64_t const prompt = outcome.lengths.prompt_tokens;
  prefill_[flight.prefill].queued_tokens -= flight.new_tokens;
  outcome.first_token_us = events_.now_us();
  flight.decode = choose_decode(prompt);
  bool const too_late = step_with(decode_[flight.decode], prompt) > cluster_.level.tpot_ms * 1000;
  if (flight.steps_left == 0 || too_late) {
    outcome.end = flight.steps_left == 0 ? RequestEnd::completed : RequestEnd::rejected_after_prefill;
    outcome.finish_us = events_.now_us();
    if (too_late) report_.wasted_prefill_us += flight.prefill_us * cluster_.stages;
    std::erase(active_, request);
    return;
  }
  report_.handoff_tokens += prompt;
  double const exposed_us = double(prompt) * cluster_.kv_us_per_token / double(cluster_.layers);
  decode_[flight.decode].context_tokens += prompt;
  decode_[flight.decode].joining.push_back(request);
  events_.add(events_.now_us() + std::llround(exposed_us), {EventKind::handed_off, flight.decode, request});
}

void Simulation::join(std::uint32_t request) {
  DecodeInstance& instance = decode_[flights_[request].decode];
  std::erase(instance.joining, request);
  instance.sequences.push_back(request);
  if (!instance.stepping) start_step(flights_[request].decode);
}

void Simulation::start_step(std::uint32_t index) {
  DecodeInstance& instance = decode_[index];
  if (instance.sequences.empty()) return;
  instance.stepping = true;
  std::int64_t context = instance.context_tokens;
  for (std::uint32_t const request : instance.joining) context -= flights_[request].context;
  double const step_us = cluster_.step.at(double(instance.sequences.size()), double(context));
  if (cluster_.spans != nullptr)
    cluster_.spans->add({events_.now_us(),
                         std::max<Microseconds>(1, std::llround(step_us)),
                         std::uint32_t(prefill_.size()) + index,
                         0,
                         {.sequences = std::int64_t(instance.sequences.size()), .sequence_context = context}},
                        1);
  // who joins during the step is not part of it: the sequences of the step come first
  for (std::uint32_t const request : instance.sequences) flights_[request].steps_left -= 1;
  events_.add(events_.now_us() + std::max<Microseconds>(1, std::llround(step_us)), {EventKind::step_done, index, 0});
}

void Simulation::finish_step(std::uint32_t index) {
  DecodeInstance& instance = decode_[index];
  instance.stepping = false;
  std::erase_if(instance.sequences, [&](std::uint32_t request) {
    Flight& flight = flights_[request];
    RequestOutcome& outcome = report_.outcomes[request];
    std::int32_t const done = outcome.decode_steps - flight.steps_left;
    std::int32_t const context = outcome.lengths.prompt_tokens + done;
    instance.context_tokens += context - flight.context;
    flight.context = context;
    if (flight.steps_left > 0) return false;
    instance.context_tokens -= flight.context;
    outcome.end = RequestEnd::completed;
    outcome.finish_us = events_.now_us();
    SimRequest const& ended = workload_[request];
    if (cluster_.kept == KeptKv::prompt_and_output) prefill_[flight.prefill].cache.insert(ended.whole_hashes);
    std::erase(active_, request);
    return true;
  });
  start_step(index);
}

}  // namespace

CacheReport simulate(CacheCluster const& cluster, Workload const& workload) {
  return Simulation(cluster, workload).run();
}

}  // namespace windlass
