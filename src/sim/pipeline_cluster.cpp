#include "src/sim/pipeline_cluster.hpp"

#include <algorithm>
#include <cmath>

#include "src/core/error.hpp"
#include "src/policy/decode_pull.hpp"
#include "src/policy/dispatch.hpp"
#include "src/policy/prefill_batch.hpp"
#include "src/sim/event_queue.hpp"
#include "src/sim/fifo.hpp"

namespace windlass {
namespace {

enum class EventKind : std::uint8_t { arrival, stage_ready, stage_done, kv_arrived };

struct Event {
  EventKind kind;
  std::uint16_t stage;
  std::uint32_t instance;
  std::uint32_t request;
};

enum class Running : std::uint8_t { nothing, prefill, decode };

struct Stage {
  Fifo prompts, sequences;
  std::int64_t queued_context = 0;  ///< of `sequences`
  std::vector<std::uint32_t> batch;
  Running running = Running::nothing;
  bool wake_pending = false;
};

struct Instance {
  std::vector<Stage> stages;
  Fifo offers;  ///< decode: prefilled prompts nobody has pulled yet
  std::int64_t used_kv_tokens = 0;
  Microseconds link_free_us = 0;
  std::uint32_t next_chunk = 0;
};

/// What changes in every decode step, kept small: a large run touches it some 10^8 times.
struct Progress {
  std::int32_t context;
  std::int32_t steps_left;
};

class Simulation {
 public:
  Simulation(PipelineCluster const& cluster, Workload const& workload);
  PipelineReport run();

 private:
  void handle(Event const& event);
  void arrive(std::uint32_t request);
  void wake(std::uint32_t instance, std::uint16_t stage);
  void start(std::uint32_t instance, std::uint16_t stage);
  bool start_prefill(std::uint32_t instance, std::uint16_t stage);
  void start_decode(std::uint32_t instance, std::uint16_t stage);
  std::int64_t choose_prompts(std::uint32_t instance, Stage& stage);
  void launch(std::uint32_t instance, std::uint16_t stage, StepWork const& work);
  void finish_step(std::uint32_t instance, std::uint16_t stage);
  void finish_prefill(std::uint32_t instance, std::uint16_t stage);
  void finish_decode(std::uint32_t instance, std::uint16_t stage);
  void after_prefill(std::uint32_t instance, std::uint32_t request);
  void pull(std::uint32_t instance);
  void transfer(std::uint32_t request, std::uint32_t to);
  void join_decode(std::uint32_t instance, std::uint32_t request);
  void complete(std::uint32_t instance, std::uint32_t request);
  void reserve(std::uint32_t instance, std::int64_t tokens);
  std::int64_t whole_tokens(std::uint32_t request) const;
  bool fits_everywhere(std::uint32_t request) const;

  PipelineCluster const& cluster_;
  Workload const& workload_;
  PipelineReport report_;
  EventQueue<Event> events_;
  std::vector<Instance> instances_;
  std::vector<Progress> progress_;
  std::vector<std::uint32_t> chunk_;      ///< batch that a prompt went through stage 0 with
  std::vector<std::uint32_t> prefiller_;  ///< instance that prefilled a request
  std::vector<std::uint32_t> prefill_ids_, decode_ids_;
  /// [instances]: prompts waiting or in prefill (a mixed instance: all requests it has); sequences assigned;
  /// unavailable_load where the role is another
  std::vector<std::int64_t> prefill_load_, decode_load_;
  std::vector<WaitingPrompt> waiting_;  ///< scratch of choose_prompts
  std::size_t next_arrival_ = 0;
};

Simulation::Simulation(PipelineCluster const& cluster, Workload const& workload)
    : cluster_(cluster), workload_(workload), instances_(cluster.instances.size()) {
  std::size_t const requests = workload.size(), count = cluster.instances.size();
  report_.outcomes.resize(requests);
  report_.use.resize(count);
  progress_.resize(requests);
  chunk_.resize(requests);
  prefiller_.resize(requests);
  prefill_load_.assign(count, unavailable_load);
  decode_load_.assign(count, unavailable_load);
  for (std::uint32_t i = 0; i < count; ++i) {
    PipelineInstance const& instance = cluster.instances[i];
    if (instance.stages < 1 || instance.latency == nullptr)
      throw InputError("instance " + std::to_string(i) + ": needs a latency model and at least one stage");
    instances_[i].stages.resize(std::size_t(instance.stages));
    if (instance.role != SimRole::decode) prefill_load_[i] = 0, prefill_ids_.push_back(i);
    if (instance.role == SimRole::decode) decode_load_[i] = 0, decode_ids_.push_back(i);
  }
  if (prefill_ids_.empty()) throw InputError("no instance prefills; give at least one the role prefill or mixed");
  bool const disaggregated = cluster.instances[prefill_ids_.front()].role == SimRole::prefill;
  if (disaggregated && decode_ids_.empty()) throw InputError("no instance decodes; give at least one the role decode");
}

PipelineReport Simulation::run() {
  if (!workload_.empty()) events_.add(workload_[0].arrival_us, {EventKind::arrival, 0, 0, 0});
  while (!events_.empty()) {
    Event const event = events_.take();
    handle(event);
  }
  for (Instance const& instance : instances_) report_.left_kv_tokens += instance.used_kv_tokens;
  report_.end_us = events_.now_us();
  return std::move(report_);
}

void Simulation::handle(Event const& event) {
  switch (event.kind) {
    case EventKind::arrival:
      return arrive(event.request);
    case EventKind::stage_ready:
      instances_[event.instance].stages[event.stage].wake_pending = false;
      return start(event.instance, event.stage);
    case EventKind::stage_done:
      return finish_step(event.instance, event.stage);
    case EventKind::kv_arrived:
      return join_decode(event.instance, event.request);
  }
}

std::int64_t Simulation::whole_tokens(std::uint32_t request) const {
  TokenLengths const& lengths = workload_[request].lengths;
  return std::int64_t(lengths.prompt_tokens) + lengths.output_tokens;
}

bool Simulation::fits_everywhere(std::uint32_t request) const {
  std::int64_t const prompt = workload_[request].lengths.prompt_tokens, whole = whole_tokens(request);
  return std::all_of(cluster_.instances.begin(), cluster_.instances.end(), [&](PipelineInstance const& instance) {
    return instance.kv_tokens >= (instance.role == SimRole::prefill ? prompt : whole);
  });
}

void Simulation::arrive(std::uint32_t request) {
  if (request + 1 < workload_.size())
    events_.add(workload_[request + 1].arrival_us, {EventKind::arrival, 0, 0, request + 1});
  SimRequest const& arrived = workload_[request];
  RequestOutcome& outcome = report_.outcomes[request];
  outcome.arrival_us = arrived.arrival_us;
  outcome.lengths = arrived.lengths;
  bool const extra_step = cluster_.first_token == FirstToken::from_decode;
  outcome.decode_steps = arrived.lengths.output_tokens - (extra_step ? 0 : 1);
  if (!fits_everywhere(request)) {
    outcome.end = RequestEnd::rejected_at_arrival;
    return;
  }
  progress_[request] = {.context = arrived.lengths.prompt_tokens, .steps_left = outcome.decode_steps};
  auto const to = std::uint32_t(plan_dispatch({.load = prefill_load_}).instance);
  ++prefill_load_[to];
  instances_[to].stages[0].prompts.push(request);
  wake(to, 0);
}

void Simulation::wake(std::uint32_t instance, std::uint16_t stage) {
  Stage& woken = instances_[instance].stages[stage];
  if (woken.running != Running::nothing || woken.wake_pending) return;
  woken.wake_pending = true;
  events_.add(events_.now_us(), {EventKind::stage_ready, stage, instance, 0});
}

void Simulation::start(std::uint32_t instance, std::uint16_t stage) {
  Stage& idle = instances_[instance].stages[stage];
  if (idle.running != Running::nothing) return;
  if (!idle.prompts.empty() && start_prefill(instance, stage)) return;
  if (!idle.sequences.empty()) start_decode(instance, stage);
}

/// How many prompts the first stage takes now; reserves their pool.
std::int64_t Simulation::choose_prompts(std::uint32_t instance, Stage& stage) {
  PipelineInstance const& limits = cluster_.instances[instance];
  bool const stays = limits.role == SimRole::mixed;  // a mixed instance needs room for the output, too
  waiting_.clear();
  std::int64_t tokens = 0;
  for (std::size_t i = 0; i < stage.prompts.size() && tokens <= limits.max_prompt_tokens; ++i) {
    std::uint32_t const request = stage.prompts[i];
    std::int64_t const length = workload_[request].lengths.prompt_tokens;
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

bool Simulation::start_prefill(std::uint32_t instance, std::uint16_t stage) {
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
    double const length = workload_[request].lengths.prompt_tokens;
    work.prompt_tokens += std::int64_t(length);
    work.prompt_tokens_squared += length * length;
  }
  running.running = Running::prefill;
  launch(instance, stage, work);
  return true;
}

void Simulation::start_decode(std::uint32_t instance, std::uint16_t stage) {
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

void Simulation::launch(std::uint32_t instance, std::uint16_t stage, StepWork const& work) {
  Microseconds const step_us = cluster_.instances[instance].latency->step_us(work, stage);
  ++report_.use[instance].steps;
  if (stage == 0) report_.use[instance].busy_us += step_us;
  events_.add(events_.now_us() + step_us, {EventKind::stage_done, stage, instance, 0});
}

void Simulation::finish_step(std::uint32_t instance, std::uint16_t stage) {
  Stage& done = instances_[instance].stages[stage];
  bool const prefill = done.running == Running::prefill;
  done.running = Running::nothing;
  if (prefill)
    finish_prefill(instance, stage);
  else
    finish_decode(instance, stage);
  start(instance, stage);
}

void Simulation::finish_prefill(std::uint32_t instance, std::uint16_t stage) {
  auto& stages = instances_[instance].stages;
  std::vector<std::uint32_t> batch;
  batch.swap(stages[stage].batch);
  bool const leaves = cluster_.instances[instance].role == SimRole::prefill;
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

void Simulation::after_prefill(std::uint32_t instance, std::uint32_t request) {
  report_.outcomes[request].first_token_us = events_.now_us();
  prefiller_[request] = instance;
  bool const stays = cluster_.instances[instance].role == SimRole::mixed;
  if (progress_[request].steps_left <= 0) {
    reserve(instance, stays ? -whole_tokens(request) : -std::int64_t(workload_[request].lengths.prompt_tokens));
    report_.outcomes[request].finish_us = events_.now_us();
    report_.outcomes[request].end = RequestEnd::completed;
    if (stays) --prefill_load_[instance];
    return wake(instance, 0);
  }
  if (stays) return join_decode(instance, request);
  auto const to = std::uint32_t(plan_dispatch({.load = decode_load_}).instance);
  ++decode_load_[to];
  instances_[to].offers.push(request);
  pull(to);
}

void Simulation::pull(std::uint32_t instance) {
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

void Simulation::transfer(std::uint32_t request, std::uint32_t to) {
  std::int64_t const tokens = workload_[request].lengths.prompt_tokens;
  report_.transferred_tokens += tokens;
  if (cluster_.link.bytes_per_us <= 0) return join_decode(to, request);
  Instance& sender = instances_[prefiller_[request]];
  double const bytes = double(tokens) * cluster_.link.kv_bytes_per_token;
  sender.link_free_us =
      std::max(sender.link_free_us, events_.now_us()) + Microseconds(std::llround(bytes / cluster_.link.bytes_per_us));
  events_.add(sender.link_free_us + cluster_.link.latency_us, {EventKind::kv_arrived, 0, to, request});
}

void Simulation::join_decode(std::uint32_t instance, std::uint32_t request) {
  if (std::uint32_t const from = prefiller_[request]; from != instance) {
    reserve(from, -std::int64_t(workload_[request].lengths.prompt_tokens));
    wake(from, 0);
  }
  Stage& first = instances_[instance].stages[0];
  first.sequences.push(request);
  first.queued_context += progress_[request].context;
  wake(instance, 0);
}

void Simulation::finish_decode(std::uint32_t instance, std::uint16_t stage) {
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

void Simulation::complete(std::uint32_t instance, std::uint32_t request) {
  RequestOutcome& outcome = report_.outcomes[request];
  outcome.finish_us = events_.now_us();
  outcome.end = RequestEnd::completed;
  reserve(instance, -whole_tokens(request));
  if (cluster_.instances[instance].role == SimRole::decode) {
    --decode_load_[instance];
    pull(instance);
  } else {
    --prefill_load_[instance];
  }
}

void Simulation::reserve(std::uint32_t instance, std::int64_t tokens) {
  Instance& holder = instances_[instance];
  holder.used_kv_tokens += tokens;
  ensure(holder.used_kv_tokens >= 0, "an instance freed more KV than it held");
  report_.use[instance].peak_kv_tokens = std::max(report_.use[instance].peak_kv_tokens, holder.used_kv_tokens);
}

}  // namespace

PipelineReport simulate(PipelineCluster const& cluster, Workload const& workload) {
  return Simulation(cluster, workload).run();
}

}  // namespace windlass
