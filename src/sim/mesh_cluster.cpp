#include "src/sim/mesh_cluster.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "src/core/error.hpp"
#include "src/sim/event_queue.hpp"

namespace windlass {
namespace {

enum class EventKind : std::uint8_t { arrival, job_done, adapt };

struct Event {
  EventKind kind;
  JobPhase phase;
  std::uint32_t mesh, model;  ///< `model`: place on its mesh; the request of an arrival
};

constexpr std::size_t batch_window = 500;  ///< decode steps that the mean batch is taken over
constexpr double unknown_mean_batch = 30;  ///< before the first step
constexpr std::int64_t unlimited_sequences = 1'000'000;

struct ModelState {
  MeshModel const* model = nullptr;
  std::int64_t quota = 0, sequence_blocks = 0;
  std::deque<std::uint32_t> waiting;
  std::vector<std::uint32_t> running, prefilling, stepping;
  std::deque<double> batches;  ///< of the last decode steps
  double batch_sum = 0;
  bool waits_for_cache = false;

  double mean_batch() const { return batches.empty() ? unknown_mean_batch : batch_sum / double(batches.size()); }
  void count_step(double batch) {
    batches.push_back(batch);
    batch_sum += batch;
    if (batches.size() <= batch_window) return;
    batch_sum -= batches.front();
    batches.pop_front();
  }
};

struct MeshState {
  std::vector<ModelState> models;
  std::vector<int> running_parts;  ///< of jobs, in order of their start: [model * 2 + phase]
  std::vector<std::size_t> running_jobs;
  std::int64_t free_blocks = 0, spare_blocks = 0, first_blocks = 0;
  std::size_t next_prefill = 0, next_decode = 0;
  Microseconds busy_since_us = 0;
};

struct Flight {
  std::uint32_t mesh = 0, place = 0;
  std::int32_t context = 0, steps_left = 0;
  std::int64_t blocks = 0;  ///< held
};

class Simulation {
 public:
  Simulation(MeshCluster const& cluster, Workload const& workload);
  MeshReport run();

 private:
  void arrive(std::uint32_t request);
  void schedule(std::uint32_t mesh);
  ShareLedger ledger_of(MeshState const& mesh) const;
  MultiplexQueue queue_of(MeshState const& mesh, std::size_t place) const;
  std::size_t prompts_that_fit(MeshState const& mesh, ModelState const& model) const;
  void start(std::uint32_t mesh, StartedJob const& job);
  Microseconds start_prefill(MeshState& mesh, ModelState& model, double sm_percent);
  Microseconds start_decode(MeshState& mesh, ModelState& model, double sm_percent);
  void make_room(MeshState& mesh, ModelState& model);
  void preempt_last(MeshState& mesh, ModelState& model);
  void finish(Event const& event);
  void finish_decode(MeshState& mesh, ModelState& model);
  void complete(MeshState& mesh, ModelState& model, std::uint32_t request);
  void adapt(std::uint32_t mesh);
  void grow(MeshState& mesh, ModelState const& model, std::uint32_t request);
  std::int64_t blocks_for(MeshModel const& model, std::int64_t tokens) const;

  MeshCluster const& cluster_;
  Workload const& workload_;
  MeshReport report_;
  EventQueue<Event> events_;
  std::vector<MeshState> meshes_;
  std::vector<Flight> flights_;
  std::map<std::int32_t, std::pair<std::uint32_t, std::uint32_t>> places_;  ///< model -> mesh and place
  std::size_t unfinished_ = 0;
};

std::int64_t Simulation::blocks_for(MeshModel const& model, std::int64_t tokens) const {
  return (tokens + cluster_.block_tokens - 1) / cluster_.block_tokens * model.blocks_per_block;
}

Simulation::Simulation(MeshCluster const& cluster, Workload const& workload)
    : cluster_(cluster), workload_(workload), meshes_(cluster.meshes.size()), flights_(workload.size()) {
  std::int32_t models = 0;
  for (std::uint32_t i = 0; i < meshes_.size(); ++i) {
    ModelMesh const& mesh = cluster.meshes[i];
    MeshState& state = meshes_[i];
    if (mesh.models.empty()) throw InputError("mesh " + std::to_string(i) + " holds no model; leave it out");
    state.free_blocks = mesh.head_blocks;
    double demand = 0;
    for (MeshModel const& model : mesh.models) demand += model.rate_per_s * double(model.blocks_per_block);
    for (std::uint32_t place = 0; place < mesh.models.size(); ++place) {
      MeshModel const& model = mesh.models[place];
      places_[model.model] = {i, place};
      models = std::max(models, model.model + 1);
      ModelState next{.model = &model, .waiting = {}, .running = {}, .prefilling = {}, .stepping = {}, .batches = {}};
      double const mean_tokens = model.mean_tokens > 0 ? model.mean_tokens : cluster.mean_tokens;
      next.sequence_blocks = blocks_for(model, std::llround(mean_tokens));
      double const share = model.rate_per_s * double(model.blocks_per_block) / demand * double(mesh.head_blocks);
      next.quota = std::max<std::int64_t>(1, std::int64_t(share) / next.sequence_blocks);
      if (cluster.quotas == QuotaRule::none) next.quota = unlimited_sequences;
      state.first_blocks += next.quota * next.sequence_blocks;
      state.models.push_back(std::move(next));
    }
  }
  report_.models.resize(std::size_t(models));
  for (MeshState const& mesh : meshes_)
    for (ModelState const& model : mesh.models)
      report_.models[std::size_t(model.model->model)].first_quota = model.quota;
  report_.busy_us.resize(meshes_.size());
  report_.outcomes.resize(workload.size());
}

MeshReport Simulation::run() {
  unfinished_ = workload_.size();
  if (!workload_.empty()) {
    report_.last_arrival_us = workload_.back().arrival_us;
    events_.add(workload_[0].arrival_us, {EventKind::arrival, JobPhase::prefill, 0, 0});
  }
  for (std::uint32_t i = 0; i < meshes_.size() && cluster_.quotas == QuotaRule::adapted; ++i)
    events_.add(cluster_.adaptation_us, {EventKind::adapt, JobPhase::prefill, i, 0});
  while (!events_.empty() && unfinished_ > 0) {
    Event const event = events_.take();
    if (event.kind == EventKind::arrival) arrive(event.model);
    if (event.kind == EventKind::job_done) finish(event);
    if (event.kind == EventKind::adapt) adapt(event.mesh);
  }
  report_.end_us = events_.now_us();
  for (std::size_t i = 0; i < meshes_.size(); ++i) {
    report_.left_blocks += cluster_.meshes[i].head_blocks - meshes_[i].free_blocks;
    report_.quota_blocks_lost += meshes_[i].first_blocks - meshes_[i].spare_blocks;
    for (ModelState const& model : meshes_[i].models) {
      report_.models[std::size_t(model.model->model)].last_quota = model.quota;
      report_.quota_blocks_lost -= model.quota * model.sequence_blocks;
    }
  }
  return std::move(report_);
}

void Simulation::arrive(std::uint32_t request) {
  if (request + 1 < workload_.size())
    events_.add(workload_[request + 1].arrival_us, {EventKind::arrival, JobPhase::prefill, 0, request + 1});
  SimRequest const& arrived = workload_[request];
  auto const place = places_.find(arrived.model);
  if (place == places_.end())
    throw InputError("a request asks for model " + std::to_string(arrived.model) + ", which no mesh holds");
  Flight& flight = flights_[request];
  std::tie(flight.mesh, flight.place) = place->second;
  RequestOutcome& outcome = report_.outcomes[request];
  outcome.arrival_us = arrived.arrival_us;
  outcome.lengths = arrived.lengths;
  outcome.decode_steps = std::max(0, arrived.lengths.output_tokens - 1);
  flight.context = arrived.lengths.prompt_tokens;
  flight.steps_left = outcome.decode_steps;
  ++report_.models[std::size_t(arrived.model)].requests;
  ModelState& model = meshes_[flight.mesh].models[flight.place];
  std::int64_t const whole = std::int64_t(arrived.lengths.prompt_tokens) + arrived.lengths.output_tokens;
  if (blocks_for(*model.model, whole) > cluster_.meshes[flight.mesh].head_blocks) {
    outcome.end = RequestEnd::rejected_at_arrival;
    --unfinished_;
    return;
  }
  model.waiting.push_back(request);
  schedule(flight.mesh);
}

ShareLedger Simulation::ledger_of(MeshState const& mesh) const {
  ShareLedger ledger{.overload_parts = cluster_.overload_parts};
  for (int const parts : mesh.running_parts) ledger.take(parts);
  return ledger;
}

std::size_t Simulation::prompts_that_fit(MeshState const& mesh, ModelState const& model) const {
  std::int64_t tokens = 0, blocks = mesh.free_blocks;
  auto const room =
      std::max<std::int64_t>(1, model.quota) - std::int64_t(model.running.size() + model.prefilling.size());
  std::size_t count = 0;
  for (std::uint32_t const request : model.waiting) {
    tokens += flights_[request].context;
    blocks -= blocks_for(*model.model, flights_[request].context + 1);
    if (blocks < 0 || std::int64_t(count) >= room || (count > 0 && tokens > cluster_.batch_tokens)) break;
    ++count;
  }
  return count;
}

MultiplexQueue Simulation::queue_of(MeshState const& mesh, std::size_t place) const {
  ModelState const& model = mesh.models[place];
  auto const arrival_us = [&](std::uint32_t request) { return workload_[request].arrival_us; };
  return {.waiting_prompts = std::int64_t(prompts_that_fit(mesh, model)),
          .oldest_waiting_us = model.waiting.empty() ? never_us : arrival_us(model.waiting.front()),
          .oldest_running_us = model.running.empty() ? never_us : arrival_us(model.running.front()),
          .decoding_sequences = std::int64_t(model.running.size()),
          .prefill_runs = !model.prefilling.empty(),
          .decode_runs = !model.stepping.empty(),
          .waits_for_cache = model.waits_for_cache,
          .prefill_parts = model.model->prefill_parts,
          .decode_parts = model.model->decode_parts};
}

void Simulation::schedule(std::uint32_t index) {
  MeshState& mesh = meshes_[index];
  std::vector<MultiplexQueue> queues;
  for (std::size_t place = 0; place < mesh.models.size(); ++place) queues.push_back(queue_of(mesh, place));
  auto const plan = plan_multiplex_schedule({.rule = cluster_.scheduling,
                                             .models = queues,
                                             .ledger = ledger_of(mesh),
                                             .next_prefill = mesh.next_prefill,
                                             .next_decode = mesh.next_decode});
  mesh.next_prefill = plan.next_prefill;
  mesh.next_decode = plan.next_decode;
  for (StartedJob const& job : plan.jobs) start(index, job);
  bool const emptied = !plan.jobs.empty() && mesh.running_jobs.empty();
  if (emptied) schedule(index);  // all that was started found no room, and freed its blocks
}

void Simulation::start(std::uint32_t index, StartedJob const& job) {
  MeshState& mesh = meshes_[index];
  ModelState& model = mesh.models[job.model];
  bool const prefill = job.phase == JobPhase::prefill;
  int const parts = prefill ? model.model->prefill_parts : model.model->decode_parts;
  int const alone = std::min(parts, ledger_of(mesh).free_parts);
  double const sm_percent = 10 * (alone + 0.5 * (parts - alone));
  Microseconds const us = prefill ? start_prefill(mesh, model, sm_percent) : start_decode(mesh, model, sm_percent);
  if (us == 0) return;  // the pool had no room any more
  if (mesh.running_jobs.empty()) mesh.busy_since_us = events_.now_us();
  if (cluster_.spans != nullptr) {
    auto const count = std::int64_t(prefill ? model.prefilling.size() : model.stepping.size());
    StepWork const work = prefill ? StepWork{.prompts = count} : StepWork{.sequences = count};
    cluster_.spans->add({events_.now_us(), us, index, std::uint32_t(job.model * 2 + (prefill ? 0 : 1)), work},
                        cluster_.meshes[index].gpus * sm_percent / 100);
  }
  mesh.running_parts.push_back(parts);
  mesh.running_jobs.push_back(job.model * 2 + (prefill ? 0 : 1));
  events_.add(events_.now_us() + us, {EventKind::job_done, job.phase, index, std::uint32_t(job.model)});
}

void Simulation::grow(MeshState& mesh, ModelState const& model, std::uint32_t request) {
  Flight& flight = flights_[request];
  std::int64_t const needed = blocks_for(*model.model, flight.context + 1);
  mesh.free_blocks -= needed - flight.blocks;
  flight.blocks = needed;
  ensure(mesh.free_blocks >= 0, "a mesh gave more KV blocks than it has");
}

Microseconds Simulation::start_prefill(MeshState& mesh, ModelState& model, double sm_percent) {
  std::size_t const count = prompts_that_fit(mesh, model);
  double tokens = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t const request = model.waiting.front();
    model.waiting.pop_front();
    tokens += flights_[request].context;
    grow(mesh, model, request);
    model.prefilling.push_back(request);
  }
  return count == 0 ? 0 : model.model->times->prefill_us(sm_percent, double(count), tokens / double(count));
}

void Simulation::preempt_last(MeshState& mesh, ModelState& model) {
  std::uint32_t const last = model.running.back();
  model.running.pop_back();
  mesh.free_blocks += std::exchange(flights_[last].blocks, 0);
  model.waiting.push_front(last);
  ++report_.models[std::size_t(model.model->model)].preemptions;
}

/// Preempts from the tail until all that stay can write their next token.
void Simulation::make_room(MeshState& mesh, ModelState& model) {
  auto const missing = [&] {
    std::int64_t needed = 0;
    for (std::uint32_t const request : model.running)
      needed += blocks_for(*model.model, flights_[request].context + 1) - flights_[request].blocks;
    return needed > mesh.free_blocks;
  };
  while (!model.running.empty() && missing()) {
    preempt_last(mesh, model);
    model.waits_for_cache = !model.running.empty();
  }
}

Microseconds Simulation::start_decode(MeshState& mesh, ModelState& model, double sm_percent) {
  make_room(mesh, model);
  if (model.running.empty()) return 0;
  double context = 0;
  for (std::uint32_t const request : model.running) {
    grow(mesh, model, request);
    context += flights_[request].context;
  }
  model.stepping = model.running;
  double const count = double(model.running.size());
  model.count_step(count);
  return model.model->times->decode_us(sm_percent, count, context / count);
}

void Simulation::finish(Event const& event) {
  MeshState& mesh = meshes_[event.mesh];
  ModelState& model = mesh.models[event.model];
  bool const prefill = event.phase == JobPhase::prefill;
  auto const job = std::find(mesh.running_jobs.begin(), mesh.running_jobs.end(), event.model * 2 + (prefill ? 0 : 1));
  mesh.running_parts.erase(mesh.running_parts.begin() + (job - mesh.running_jobs.begin()));
  mesh.running_jobs.erase(job);
  if (mesh.running_jobs.empty()) report_.busy_us[event.mesh] += events_.now_us() - mesh.busy_since_us;
  if (!prefill) {
    finish_decode(mesh, model);
  } else {
    for (std::uint32_t const request : std::exchange(model.prefilling, {})) {
      RequestOutcome& outcome = report_.outcomes[request];
      if (outcome.first_token_us == never_us) outcome.first_token_us = events_.now_us();
      if (flights_[request].steps_left > 0)
        model.running.push_back(request);
      else
        complete(mesh, model, request);
    }
  }
  schedule(event.mesh);
}

void Simulation::finish_decode(MeshState& mesh, ModelState& model) {
  for (std::uint32_t const request : std::exchange(model.stepping, {})) {
    Flight& flight = flights_[request];
    ++flight.context;
    if (--flight.steps_left > 0) continue;
    std::erase(model.running, request);
    complete(mesh, model, request);
  }
}

void Simulation::complete(MeshState& mesh, ModelState& model, std::uint32_t request) {
  mesh.free_blocks += std::exchange(flights_[request].blocks, 0);
  model.waits_for_cache = false;
  RequestOutcome& outcome = report_.outcomes[request];
  outcome.finish_us = events_.now_us();
  outcome.end = RequestEnd::completed;
  --unfinished_;
  if (outcome.finish_us <= report_.last_arrival_us) ++report_.models[std::size_t(model.model->model)].completed_in_time;
}

void Simulation::adapt(std::uint32_t index) {
  MeshState& mesh = meshes_[index];
  std::vector<QuotaUse> uses;
  for (ModelState const& model : mesh.models)
    uses.push_back({.quota_sequences = model.quota,
                    .blocks_per_sequence = model.sequence_blocks,
                    .mean_batch = model.mean_batch(),
                    .demand_sequences = std::int64_t(model.waiting.size() + model.running.size())});
  auto const plan = plan_quota({.models = uses});
  mesh.spare_blocks += plan.left_blocks;
  ModelState* longest = &mesh.models.front();
  for (std::size_t i = 0; i < mesh.models.size(); ++i) {
    ModelState& model = mesh.models[i];
    model.quota = plan.quota_sequences[i];
    if (model.waiting.size() > longest->waiting.size()) longest = &model;
  }
  longest->quota += mesh.spare_blocks / longest->sequence_blocks;
  mesh.spare_blocks %= longest->sequence_blocks;
  events_.add(events_.now_us() + cluster_.adaptation_us, {EventKind::adapt, JobPhase::prefill, index, 0});
  schedule(index);
}

std::map<int, StepGrid> grids_of(std::map<int, std::vector<MultiplexSample>> const& by_percent, JobPhase phase) {
  std::map<int, StepGrid> grids;
  for (auto const& [percent, samples] : by_percent) {
    std::vector<GridSample> measured;
    for (MultiplexSample const& sample : samples) {
      double const seconds = phase == JobPhase::prefill ? sample.prefill_s : sample.decode_s;
      if (seconds > 0)
        measured.push_back({.count = double(sample.batch), .tokens = double(sample.tokens), .ms = seconds * 1000});
    }
    if (!measured.empty()) grids.emplace(percent, StepGrid(std::move(measured)));
  }
  if (grids.empty()) throw InputError("a model has no measured step of one phase at any share of the SMs");
  return grids;
}

}  // namespace

SharedStepTimes::SharedStepTimes(std::map<int, std::vector<MultiplexSample>> const& by_percent,
                                 double overhead_us_per_sequence)
    : prefill_(grids_of(by_percent, JobPhase::prefill)),
      decode_(grids_of(by_percent, JobPhase::decode)),
      overhead_us_per_sequence_(overhead_us_per_sequence) {}

Microseconds SharedStepTimes::at(Grids const& grids, double sm_percent, GridSample const& size) {
  auto const time = [&](Grids::const_iterator grid) { return grid->second.at(size.count, size.tokens); };
  auto const above = grids.lower_bound(int(std::ceil(sm_percent)));
  double ms = 0;
  if (above == grids.begin()) {
    ms = time(above) * double(above->first) / sm_percent;
  } else if (above == grids.end()) {
    ms = time(std::prev(above));
  } else {
    auto const below = std::prev(above);
    double const part = (sm_percent - below->first) / double(above->first - below->first);
    ms = time(below) + part * (time(above) - time(below));
  }
  return std::max<Microseconds>(1, std::llround(ms * 1000));
}

Microseconds SharedStepTimes::prefill_us(double sm_percent, double prompts, double mean_tokens) const {
  return at(prefill_, sm_percent, {.count = prompts, .tokens = mean_tokens, .ms = 0});
}

Microseconds SharedStepTimes::decode_us(double sm_percent, double sequences, double mean_context) const {
  return at(decode_, sm_percent, {.count = sequences, .tokens = mean_context, .ms = 0}) +
         std::llround(overhead_us_per_sequence_ * sequences);
}

MeshReport simulate(MeshCluster const& cluster, Workload const& workload) {
  return Simulation(cluster, workload).run();
}

double throughput_of(MeshReport const& report) {
  double completed = 0;
  for (MeshModelUse const& use : report.models) completed += double(use.completed_in_time);
  return completed / std::max(1e-6, double(report.last_arrival_us) / 1e6);
}

double weighted_throughput_of(MeshReport const& report) {
  double weighted = 0, requests = 0;
  for (MeshModelUse const& use : report.models) {
    weighted += double(use.completed_in_time) * double(use.requests);
    requests += double(use.requests);
  }
  return weighted / std::max(1.0, requests) / std::max(1e-6, double(report.last_arrival_us) / 1e6);
}

}  // namespace windlass
