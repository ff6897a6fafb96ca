#include "src/sim/pipeline_cluster.hpp"

#include <algorithm>
#include <utility>

#include "src/core/error.hpp"
#include "src/policy/dispatch.hpp"
#include "src/sim/pipeline_simulation.hpp"

namespace windlass {
namespace {

void check(PipelineInstance const& instance, std::uint32_t index) {
  auto const fail = [index](char const* problem) {
    throw InputError("instance " + std::to_string(index) + ": " + problem);
  };
  if (instance.stages < 1 || instance.latency == nullptr) fail("needs a latency model and at least one stage");
  if (instance.chunk_tokens > 0 && (instance.stages > 1 || instance.role != SimRole::mixed))
    fail("prompts come in chunks only where one stage does both phases; use role mixed and one stage");
}

}  // namespace

PipelineSimulation::PipelineSimulation(PipelineCluster const& cluster, Workload const& workload)
    : cluster_(cluster),
      workload_(workload),
      instances_(cluster.instances.size()),
      fabric_(cluster.link.bytes_per_us, cluster.link.fabric_bytes_per_us) {
  std::size_t const requests = workload.size(), count = cluster.instances.size();
  report_.outcomes.resize(requests);
  report_.use.resize(count);
  progress_.resize(requests);
  chunk_.resize(requests);
  places_.resize(requests);
  prefill_load_.assign(count, unavailable_load);
  decode_load_.assign(count, unavailable_load);
  std::size_t prefill = 0, decode = 0, mixed = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    PipelineInstance const& instance = cluster.instances[i];
    check(instance, i);
    if (instance.chunk_tokens > 0) pending_.resize(requests);
    instances_[i].stages.resize(std::size_t(instance.stages));
    instances_[i].role = instances_[i].next_role = instance.role;
    (instance.role == SimRole::prefill ? prefill : instance.role == SimRole::decode ? decode : mixed) += 1;
    open(i);
  }
  if (prefill + mixed == 0) throw InputError("no instance prefills; give at least one the role prefill or mixed");
  if (prefill > 0 && decode == 0) throw InputError("no instance decodes; give at least one the role decode");
  for (InstanceFailure const& failure : cluster.failures)
    if (failure.instance >= count || failure.at_us < 0 || failure.repaired_us <= failure.at_us)
      throw InputError("failure of instance " + std::to_string(failure.instance) + ": there are " +
                       std::to_string(count) + " instances, and a repair comes after the failure");
}

PipelineReport PipelineSimulation::run() {
  unfinished_ = workload_.size();
  start_arrivals();
  schedule_changes();
  while (!events_.empty() && unfinished_ > 0) {
    Event const event = events_.take();
    handle(event);
  }
  if (unfinished_ > 0) end_orphans();
  for (Instance const& instance : instances_) report_.left_kv_tokens += instance.used_kv_tokens;
  report_.end_us = events_.now_us();
  return std::move(report_);
}

void PipelineSimulation::handle(Event const& event) {
  bool const current = event.epoch == instances_[event.instance].epoch;
  switch (event.kind) {
    case EventKind::arrival:
      arrive(event.request);
      return;
    case EventKind::stage_ready:
      if (!current) return;
      instances_[event.instance].stages[event.stage].wake_pending = false;
      return start(event.instance, event.stage);
    case EventKind::stage_done:
      if (current) finish_step(event.instance, event.stage);
      return;
    case EventKind::kv_arrived:
      if (event.epoch == places_[event.request].attempt) join_decode(event.instance, event.request);
      return;
    case EventKind::fabric_done:
      return finish_fabric(event.request);
    case EventKind::failure:
      return fail(event.instance);
    case EventKind::repair:
      return repair(event.instance);
    case EventKind::control:
      return control();
    case EventKind::role_changed:
      if (current) change_role(event.instance);
      return;
  }
}

std::int64_t PipelineSimulation::whole_tokens(std::uint32_t request) const {
  TokenLengths const& lengths = workload_[request].lengths;
  return std::int64_t(lengths.prompt_tokens) + lengths.output_tokens;
}

/// Where requests may start again, or roles change, every pool must hold prompt and output.
bool PipelineSimulation::fits_everywhere(std::uint32_t request) const {
  std::int64_t const prompt = workload_[request].lengths.prompt_tokens, whole = whole_tokens(request);
  bool const stable = cluster_.failures.empty() && !cluster_.roles;
  return std::all_of(cluster_.instances.begin(), cluster_.instances.end(), [&](PipelineInstance const& instance) {
    return instance.kv_tokens >= (stable && instance.role == SimRole::prefill ? prompt : whole);
  });
}

void PipelineSimulation::start_arrivals() {
  if (cluster_.in_flight == 0 && !workload_.empty())
    events_.add(workload_[0].arrival_us, {EventKind::arrival, 0, 0, 0, 0});
  for (std::int64_t i = 0; i < cluster_.in_flight; ++i) arrive_next();
}

/// In a closed loop, when one request has ended: the next one that is not rejected. It is there before the next step
/// starts, as in `windlass batch`.
void PipelineSimulation::arrive_next() {
  if (cluster_.in_flight == 0) return;
  while (next_arrival_ < workload_.size())
    if (arrive(next_arrival_++)) return;
}

/// False where it is rejected.
bool PipelineSimulation::arrive(std::uint32_t request) {
  if (cluster_.in_flight == 0 && request + 1 < workload_.size())
    events_.add(workload_[request + 1].arrival_us, {EventKind::arrival, 0, 0, 0, request + 1});
  SimRequest const& arrived = workload_[request];
  RequestOutcome& outcome = report_.outcomes[request];
  outcome.arrival_us = events_.now_us();
  outcome.lengths = arrived.lengths;
  bool const extra_step = cluster_.first_token == FirstToken::from_decode;
  outcome.decode_steps = arrived.lengths.output_tokens - (extra_step ? 0 : 1);
  if (!fits_everywhere(request)) {
    outcome.end = RequestEnd::rejected_at_arrival;
    --unfinished_;
    return false;
  }
  progress_[request] = {.context = arrived.lengths.prompt_tokens, .steps_left = outcome.decode_steps};
  dispatch(request);
  return true;
}

/// To the shortest queue; it waits where nobody prefills.
void PipelineSimulation::dispatch(std::uint32_t request) {
  auto const plan = plan_dispatch({.load = prefill_load_});
  if (plan.stop == DispatchStop::no_instance) {
    orphans_.push_back(request);
    return;
  }
  auto const to = std::uint32_t(plan.instance);
  ++prefill_load_[to];
  ++instances_[to].attached;
  places_[request].prefiller = places_[request].decoder = to;
  places_[request].phase = Phase::prefill;
  instances_[to].stages[0].prompts.push(request);
  wake(to, 0);
}

void PipelineSimulation::wake(std::uint32_t instance, std::uint16_t stage) {
  Stage& woken = instances_[instance].stages[stage];
  if (woken.running != Running::nothing || woken.wake_pending) return;
  woken.wake_pending = true;
  events_.add(events_.now_us(), {EventKind::stage_ready, instances_[instance].epoch, stage, instance, 0});
}

void PipelineSimulation::start(std::uint32_t instance, std::uint16_t stage) {
  Stage& idle = instances_[instance].stages[stage];
  if (idle.running != Running::nothing) return;
  if (cluster_.instances[instance].chunk_tokens > 0) {
    start_chunks(instance);
    return;
  }
  if (!idle.prompts.empty() && start_prefill(instance, stage)) return;
  if (!idle.sequences.empty()) start_decode(instance, stage);
}

/// How many prompts the first stage takes now; reserves their pool.
std::int64_t PipelineSimulation::choose_prompts(std::uint32_t instance, Stage& stage) {
  PipelineInstance const& limits = cluster_.instances[instance];
  bool const stays = instances_[instance].role == SimRole::mixed;  // a mixed instance needs room for the output, too
  waiting_.clear();
  std::int64_t tokens = 0;
  for (std::size_t i = 0; i < stage.prompts.size() && tokens <= limits.max_prompt_tokens; ++i) {
    std::uint32_t const request = stage.prompts[i];
    std::int64_t const length = progress_[request].context;
    waiting_.push_back({.tokens = length, .pages = stays ? whole_tokens(request) : length});
    tokens += length;
    if (std::int64_t(waiting_.size()) > limits.max_prompts) break;
  }
  auto const plan = plan_prefill_batch({.waiting = waiting_,
                                        .max_prompts = limits.max_prompts,
                                        .max_tokens = limits.max_prompt_tokens,
                                        .saturating_tokens = limits.max_prompt_tokens,
                                        .free_pages = limits.kv_tokens - instances_[instance].used_kv_tokens,
                                        .fit = PromptFit::within_limit});
  for (std::int64_t i = 0; i < plan.prompts; ++i) reserve(instance, waiting_[std::size_t(i)].pages);
  return plan.prompts;
}

bool PipelineSimulation::start_prefill(std::uint32_t instance, std::uint16_t stage) {
  Stage& running = instances_[instance].stages[stage];
  std::int64_t count = 0;
  if (stage == 0) {
    count = choose_prompts(instance, running);
    std::uint32_t const chunk = instances_[instance].next_chunk++;
    for (std::int64_t i = 0; i < count; ++i) chunk_[running.prompts[std::size_t(i)]] = chunk;
  } else {
    std::uint32_t const chunk = chunk_[running.prompts.front()];
    while (count < std::int64_t(running.prompts.size()) && chunk_[running.prompts[std::size_t(count)]] == chunk)
      ++count;
  }
  if (count == 0) return false;
  running.prompts.take(std::size_t(count), running.batch);
  StepWork work{.prompts = count};
  for (std::uint32_t const request : running.batch) {
    double const length = progress_[request].context;
    work.prompt_tokens += std::int64_t(length);
    work.prompt_tokens_squared += length * length;
  }
  running.running = Running::prefill;
  launch(instance, stage, work);
  return true;
}

void PipelineSimulation::start_decode(std::uint32_t instance, std::uint16_t stage) {
  Stage& running = instances_[instance].stages[stage];
  std::int64_t const limit = cluster_.instances[instance].max_context_tokens;
  auto count = std::int64_t(running.sequences.size());
  std::int64_t context = running.queued_context;
  if (context + count > limit) {
    std::int64_t const queued = count;
    for (count = 0, context = 0; count < queued; ++count) {
      std::int64_t const next = progress_[running.sequences[std::size_t(count)]].context;
      if (count > 0 && context + count + next + 1 > limit) break;
      context += next;
    }
  }
  running.sequences.take(std::size_t(count), running.batch);
  running.queued_context -= context;
  running.running = Running::decode;
  launch(instance, stage, {.sequences = count, .sequence_context = context});
}

void PipelineSimulation::launch(std::uint32_t instance, std::uint16_t stage, StepWork const& work) {
  Microseconds const step_us = cluster_.instances[instance].latency->step_us(work, stage);
  ++report_.use[instance].steps;
  if (stage == 0) report_.use[instance].busy_us += step_us;
  if (cluster_.spans != nullptr)
    cluster_.spans->add({events_.now_us(), step_us, instance, stage, work},
                        stage == 0 ? cluster_.instances[instance].devices : 0);
  events_.add(events_.now_us() + step_us, {EventKind::stage_done, instances_[instance].epoch, stage, instance, 0});
}

void PipelineSimulation::finish_step(std::uint32_t instance, std::uint16_t stage) {
  Stage& done = instances_[instance].stages[stage];
  Running const was = std::exchange(done.running, Running::nothing);
  if (was == Running::prefill) finish_prefill(instance, stage);
  if (was == Running::decode) finish_decode(instance, stage);
  if (was == Running::chunks) finish_chunks(instance);
  start(instance, stage);
}

void PipelineSimulation::finish_prefill(std::uint32_t instance, std::uint16_t stage) {
  auto& stages = instances_[instance].stages;
  std::vector<std::uint32_t> batch;
  batch.swap(stages[stage].batch);
  bool const leaves = instances_[instance].role == SimRole::prefill && prefill_load_[instance] != unavailable_load;
  if (stage == 0 && leaves) prefill_load_[instance] -= std::int64_t(batch.size());
  bool const last = stage + 1u == stages.size();
  for (std::uint32_t const request : batch) {
    if (last)
      after_prefill(instance, request);
    else
      stages[stage + 1u].prompts.push(request);
  }
  if (!last) wake(instance, std::uint16_t(stage + 1));
}

void PipelineSimulation::finish_decode(std::uint32_t instance, std::uint16_t stage) {
  auto& stages = instances_[instance].stages;
  std::vector<std::uint32_t> batch;
  batch.swap(stages[stage].batch);
  bool const last = stage + 1u == stages.size();
  auto const next = std::uint16_t(last ? 0 : stage + 1);
  Stage& receiver = stages[next];
  for (std::uint32_t const request : batch) {
    Progress& progress = progress_[request];
    if (last) {
      ++progress.context;
      if (--progress.steps_left == 0) {
        complete(instance, request);
        continue;
      }
    }
    receiver.sequences.push(request);
    receiver.queued_context += progress.context;
  }
  wake(instance, next);
}

/// The token that a prefill makes: the first, or the next one of a request that started again. True where it was the
/// last.
bool PipelineSimulation::emit_prefill_token(std::uint32_t request) {
  RequestOutcome& outcome = report_.outcomes[request];
  if (outcome.first_token_us == never_us)
    outcome.first_token_us = events_.now_us();
  else
    --progress_[request].steps_left;
  return progress_[request].steps_left <= 0;
}

/// The request ends at the instance that holds its KV.
void PipelineSimulation::complete(std::uint32_t instance, std::uint32_t request) {
  RequestOutcome& outcome = report_.outcomes[request];
  outcome.finish_us = events_.now_us();
  outcome.end = RequestEnd::completed;
  places_[request].phase = Phase::outside;
  --unfinished_;
  window_e2e_ms_ += outcome.e2e_ms();
  window_ttft_ms_ += outcome.ttft_ms();
  ++window_requests_;
  SimRole const role = instances_[instance].role;
  reserve(instance, -(role == SimRole::prefill ? progress_[request].context : whole_tokens(request)));
  --instances_[instance].attached;
  std::int64_t& load = role == SimRole::decode ? decode_load_[instance] : prefill_load_[instance];
  // a prefill instance gave the prompt up when its first stage was through with it
  if (role != SimRole::prefill && load != unavailable_load) --load;
  change_when_empty(instance);
  if (role == SimRole::decode)
    pull(instance);
  else
    wake(instance, 0);
  arrive_next();
}

void PipelineSimulation::reserve(std::uint32_t instance, std::int64_t tokens) {
  Instance& holder = instances_[instance];
  holder.used_kv_tokens += tokens;
  ensure(holder.used_kv_tokens >= 0, "an instance freed more KV than it held");
  report_.use[instance].peak_kv_tokens = std::max(report_.use[instance].peak_kv_tokens, holder.used_kv_tokens);
}

PipelineReport simulate(PipelineCluster const& cluster, Workload const& workload) {
  return PipelineSimulation(cluster, workload).run();
}

}  // namespace windlass
