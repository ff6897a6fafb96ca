#include "src/sim/machine_cluster.hpp"

#include <algorithm>
#include <cmath>

#include "src/core/error.hpp"
#include "src/policy/dispatch.hpp"
#include "src/policy/machine_batch.hpp"
#include "src/sim/event_queue.hpp"

namespace windlass {
namespace {

enum class EventKind : std::uint8_t { arrival, step_done, kv_arrived };

struct Event {
  EventKind kind;
  std::uint32_t machine;
  std::uint32_t request;
};

struct MachineState {
  std::vector<MachineTask> waiting, running;  ///< waiting: oldest arrival first
  std::vector<MachineTask> batch;             ///< of the step under way
  std::int64_t used_kv_tokens = 0;            ///< held now
  std::int64_t foreign_tasks = 0;             ///< assigned, of the phase that is not the home's
  bool busy = false;
};

struct RequestState {
  std::uint32_t prompt_machine, token_machine;
  std::int32_t steps_left;
};

void insert_by_arrival(std::vector<MachineTask>& tasks, MachineTask const& task) {
  auto const earlier = [](MachineTask const& a, MachineTask const& b) { return a.id < b.id; };  // ids: by arrival
  tasks.insert(std::upper_bound(tasks.begin(), tasks.end(), task, earlier), task);
}

class Simulation {
 public:
  Simulation(MachineCluster const& cluster, Workload const& workload);
  MachineReport run();

 private:
  void arrive(std::uint32_t request);
  PoolAssignmentPlan choose(std::uint32_t request);
  void assign(std::uint32_t request);
  void borrow(std::size_t machine);
  void enqueue(std::uint32_t machine, MachineTask const& task);
  void start(std::uint32_t machine);
  bool force_oldest_token(MachineState const& state, MachineBatchPlan& plan);
  void apply(MachineBatchPlan const& plan, MachineState& state);
  void finish(std::uint32_t machine);
  void finish_prompt(std::uint32_t machine, std::uint32_t request);
  void finish_token(std::uint32_t machine, MachineTask task);
  void join_tokens(std::uint32_t request);
  void complete(std::uint32_t request);
  void task_left(std::uint32_t machine, TaskPhase phase);
  std::int64_t prompt_kv(std::uint32_t request) const { return workload_[request].lengths.prompt_tokens + 1; }

  MachineCluster const& cluster_;
  Workload const& workload_;
  MachineReport report_;
  EventQueue<Event> events_;
  std::vector<MachineState> states_;
  std::vector<MachineLoad> loads_;
  std::vector<RequestState> requests_;
  std::vector<std::int64_t> pending_;  ///< scratch of choose
  std::int64_t away_ = 0;              ///< machines in the mixed pool whose home is another
};

Simulation::Simulation(MachineCluster const& cluster, Workload const& workload)
    : cluster_(cluster),
      workload_(workload),
      states_(cluster.machines.size()),
      requests_(workload.size()),
      pending_(cluster.machines.size()) {
  if (cluster.machines.empty()) throw InputError("the cluster has no machine; give at least one");
  report_.outcomes.resize(workload.size());
  for (Machine const& machine : cluster.machines)
    loads_.push_back({.pool = machine.home,
                      .pending_tokens = 0,
                      .queued_tasks = 0,
                      .reserved_tokens = 0,
                      .kv_tokens = machine.kv_tokens});
}

MachineReport Simulation::run() {
  if (!workload_.empty()) events_.add(workload_[0].arrival_us, {EventKind::arrival, 0, 0});
  while (!events_.empty()) {
    Event const event = events_.take();
    switch (event.kind) {
      case EventKind::arrival:
        arrive(event.request);
        break;
      case EventKind::step_done:
        finish(event.machine);
        break;
      case EventKind::kv_arrived:
        join_tokens(event.request);
        break;
    }
  }
  for (MachineState const& state : states_) report_.left_kv_tokens += state.used_kv_tokens;
  for (MachineLoad const& load : loads_) report_.left_kv_tokens += load.reserved_tokens;
  return std::move(report_);
}

void Simulation::arrive(std::uint32_t request) {
  if (request + 1 < workload_.size())
    events_.add(workload_[request + 1].arrival_us, {EventKind::arrival, 0, request + 1});
  RequestOutcome& outcome = report_.outcomes[request];
  outcome.arrival_us = workload_[request].arrival_us;
  outcome.lengths = workload_[request].lengths;
  outcome.decode_steps = std::max(0, outcome.lengths.output_tokens - 1);
  requests_[request].steps_left = outcome.decode_steps;
  std::int64_t const needed = prompt_kv(request) + outcome.decode_steps;
  bool const fits = std::all_of(cluster_.machines.begin(), cluster_.machines.end(),
                                [&](Machine const& machine) { return machine.kv_tokens >= needed; });
  if (fits)
    assign(request);
  else
    outcome.end = RequestEnd::rejected_at_arrival;
}

void Simulation::borrow(std::size_t machine) {
  loads_[machine].pool = MachinePool::mixed;
  ++report_.borrowed;
  report_.peak_mixed = std::max(report_.peak_mixed, ++away_);
}

PoolAssignmentPlan Simulation::choose(std::uint32_t request) {
  if (cluster_.assignment == MachineAssignment::colocated) {
    for (std::size_t i = 0; i < loads_.size(); ++i) pending_[i] = loads_[i].pending_tokens;
    std::size_t const machine = plan_dispatch({.load = pending_}).instance;
    return {.prompt_machine = machine, .token_machine = machine, .stop = PoolAssignmentStop::colocated};
  }
  return plan_pool_assignment({.machines = loads_,
                               .prompt_tokens = workload_[request].lengths.prompt_tokens,
                               .predicted_output_tokens = workload_[request].lengths.output_tokens,
                               .max_pending_prompt_tokens = cluster_.limits.pending_prompt_tokens});
}

void Simulation::assign(std::uint32_t request) {
  TokenLengths const& lengths = workload_[request].lengths;
  auto const plan = choose(request);
  bool const colocated = plan.stop == PoolAssignmentStop::colocated || plan.stop == PoolAssignmentStop::no_machine;
  if (!colocated && loads_[plan.prompt_machine].pool == MachinePool::token) borrow(plan.prompt_machine);
  if (!colocated && loads_[plan.token_machine].pool == MachinePool::prompt) borrow(plan.token_machine);
  auto const prompt = std::uint32_t(plan.prompt_machine), token = std::uint32_t(plan.token_machine);
  requests_[request].prompt_machine = prompt;
  requests_[request].token_machine = token;
  loads_[prompt].pending_tokens += lengths.prompt_tokens;
  loads_[token].pending_tokens += 1;
  loads_[token].reserved_tokens += prompt_kv(request) + requests_[request].steps_left;
  if (prompt != token) loads_[prompt].reserved_tokens += prompt_kv(request);
  if (cluster_.machines[prompt].home == MachinePool::token) ++states_[prompt].foreign_tasks;
  if (cluster_.machines[token].home == MachinePool::prompt) ++states_[token].foreign_tasks;
  enqueue(prompt, {.id = SequenceId{request},
                   .phase = TaskPhase::prompt,
                   .state = TaskState::pending,
                   .step_tokens = lengths.prompt_tokens,
                   .kv_tokens = prompt_kv(request),
                   .passed_over = 0});
}

void Simulation::enqueue(std::uint32_t machine, MachineTask const& task) {
  insert_by_arrival(states_[machine].waiting, task);
  loads_[machine].queued_tasks = std::int64_t(states_[machine].waiting.size());
  if (!states_[machine].busy) start(machine);
}

void Simulation::start(std::uint32_t machine) {
  MachineState& state = states_[machine];
  if (state.waiting.empty() && state.running.empty()) return;
  auto plan = plan_machine_batch({.waiting = state.waiting,
                                  .running = state.running,
                                  .free_kv_tokens = cluster_.machines[machine].kv_tokens - state.used_kv_tokens,
                                  .max_tokens = cluster_.limits.batch_tokens,
                                  .max_tasks = cluster_.limits.batch_tasks,
                                  .max_passed_over = cluster_.limits.passed_over});
  if (plan.waiting.empty() && plan.running.empty() && !force_oldest_token(state, plan)) return;
  apply(plan, state);
  loads_[machine].queued_tasks = std::int64_t(state.waiting.size());
  StepWork work;
  for (MachineTask const& task : state.batch) {
    bool const prompt = task.phase == TaskPhase::prompt;
    work.prompts += prompt;
    work.sequences += !prompt;
    if (prompt) work.prompt_tokens += task.step_tokens;
  }
  state.busy = true;
  Microseconds const step_us = cluster_.machines[machine].latency->step_us(work, 0);
  if (cluster_.spans != nullptr) cluster_.spans->add({events_.now_us(), step_us, machine, 0, work}, 1);
  events_.add(events_.now_us() + step_us, {EventKind::step_done, machine, 0});
}

/// Nothing fits and nothing runs: prompts wait for KV that is on its way out, but sequences whose KV is already here
/// would wait for each other for ever (borrowing checks no pool), so the oldest may exceed the pool.
bool Simulation::force_oldest_token(MachineState const& state, MachineBatchPlan& plan) {
  for (std::uint32_t i = 0; i < state.waiting.size(); ++i) {
    if (state.waiting[i].phase != TaskPhase::token) continue;
    plan.waiting.push_back(i);
    ++report_.overcommitted;
    return true;
  }
  return false;
}

/// Moves the tasks of the plan into the batch; the rest waits, one step older.
void Simulation::apply(MachineBatchPlan const& plan, MachineState& state) {
  constexpr std::int32_t chosen = -1;
  for (std::uint32_t const i : plan.waiting) {
    MachineTask& task = state.waiting[i];
    if (task.state == TaskState::pending) state.used_kv_tokens += task.kv_tokens;
    state.batch.push_back(task);
    state.batch.back().state = TaskState::running;
    task.passed_over = chosen;
  }
  for (std::uint32_t const i : plan.running) {
    state.batch.push_back(state.running[i]);
    state.running[i].passed_over = chosen;
  }
  auto const is_chosen = [](MachineTask const& task) { return task.passed_over == chosen; };
  std::erase_if(state.waiting, is_chosen);
  std::erase_if(state.running, is_chosen);
  report_.preemptions += std::int64_t(state.running.size());
  for (MachineTask& preempted : state.running) {
    preempted.state = TaskState::blocked;
    insert_by_arrival(state.waiting, preempted);
  }
  state.running.clear();
  for (MachineTask& task : state.waiting) ++task.passed_over;
}

void Simulation::finish(std::uint32_t machine) {
  std::vector<MachineTask> batch;
  batch.swap(states_[machine].batch);
  states_[machine].busy = true;  // nothing starts here before the whole batch is booked
  for (MachineTask const& task : batch) {
    if (task.phase == TaskPhase::prompt)
      finish_prompt(machine, std::uint32_t(number(task.id)));
    else
      finish_token(machine, task);
  }
  states_[machine].busy = false;
  start(machine);
}

void Simulation::finish_prompt(std::uint32_t machine, std::uint32_t request) {
  report_.outcomes[request].first_token_us = events_.now_us();
  loads_[machine].pending_tokens -= workload_[request].lengths.prompt_tokens;
  if (requests_[request].steps_left == 0) {
    std::uint32_t const token = requests_[request].token_machine;
    states_[machine].used_kv_tokens -= prompt_kv(request);
    loads_[machine].reserved_tokens -= prompt_kv(request);
    if (token != machine) loads_[token].reserved_tokens -= prompt_kv(request);
    loads_[token].pending_tokens -= 1;
    report_.outcomes[request].finish_us = events_.now_us();
    report_.outcomes[request].end = RequestEnd::completed;
    task_left(token, TaskPhase::token);
  } else if (requests_[request].token_machine == machine) {
    join_tokens(request);
  } else {
    std::int64_t const tokens = workload_[request].lengths.prompt_tokens;
    report_.transferred_tokens += tokens;
    auto const moving_us = Microseconds(std::llround(double(tokens) / cluster_.transfer_tokens_per_us));
    events_.add(events_.now_us() + moving_us, {EventKind::kv_arrived, machine, request});
  }
  task_left(machine, TaskPhase::prompt);
}

void Simulation::join_tokens(std::uint32_t request) {
  RequestState const& state = requests_[request];
  if (state.prompt_machine != state.token_machine) {
    states_[state.prompt_machine].used_kv_tokens -= prompt_kv(request);
    loads_[state.prompt_machine].reserved_tokens -= prompt_kv(request);
    states_[state.token_machine].used_kv_tokens += prompt_kv(request);
    if (!states_[state.prompt_machine].busy) start(state.prompt_machine);
  }
  enqueue(state.token_machine, {.id = SequenceId{request},
                                .phase = TaskPhase::token,
                                .state = TaskState::pending,
                                .step_tokens = 1,
                                .kv_tokens = state.steps_left,
                                .passed_over = 0});
}

void Simulation::finish_token(std::uint32_t machine, MachineTask task) {
  auto const request = std::uint32_t(number(task.id));
  if (--requests_[request].steps_left == 0) return complete(request);
  task.passed_over = 0;
  states_[machine].running.push_back(task);
}

void Simulation::complete(std::uint32_t request) {
  std::uint32_t const machine = requests_[request].token_machine;
  std::int64_t const held = prompt_kv(request) + report_.outcomes[request].decode_steps;
  states_[machine].used_kv_tokens -= held;
  loads_[machine].reserved_tokens -= held;
  loads_[machine].pending_tokens -= 1;
  report_.outcomes[request].finish_us = events_.now_us();
  report_.outcomes[request].end = RequestEnd::completed;
  task_left(machine, TaskPhase::token);
}

void Simulation::task_left(std::uint32_t machine, TaskPhase phase) {
  MachinePool const home = cluster_.machines[machine].home;
  bool const foreign = home == (phase == TaskPhase::prompt ? MachinePool::token : MachinePool::prompt);
  if (!foreign || --states_[machine].foreign_tasks > 0 || loads_[machine].pool != MachinePool::mixed) return;
  loads_[machine].pool = home;
  --away_;
}

}  // namespace

MachineReport simulate(MachineCluster const& cluster, Workload const& workload) {
  return Simulation(cluster, workload).run();
}

Slowdowns slowdowns(std::vector<RequestOutcome> const& outcomes, LatencyModel const& unloaded) {
  double const token_ms = double(unloaded.step_us({.sequences = 1}, 0)) / 1000;
  std::vector<double> ttft, tbt, e2e;
  for (RequestOutcome const& outcome : outcomes) {
    if (outcome.end != RequestEnd::completed) continue;
    double const prompt_ms =
        double(unloaded.step_us({.prompts = 1, .prompt_tokens = outcome.lengths.prompt_tokens}, 0)) / 1000;
    ttft.push_back(outcome.ttft_ms() / prompt_ms);
    if (outcome.decode_steps > 0) tbt.push_back(outcome.tpot_ms() / token_ms);
    e2e.push_back(outcome.e2e_ms() / (prompt_ms + token_ms * outcome.decode_steps));
  }
  Slowdowns measured{};
  constexpr double shares[] = {0.5, 0.9, 0.99};
  for (int i = 0; i < 3; ++i) {
    measured.ttft[i] = percentile(ttft, shares[i]);
    measured.tbt[i] = percentile(tbt, shares[i]);
    measured.e2e[i] = percentile(e2e, shares[i]);
  }
  return measured;
}

bool meets_splitwise_levels(Slowdowns const& measured) {
  constexpr double ttft[] = {2, 3, 6}, other[] = {1.25, 1.5, 5};
  for (int i = 0; i < 3; ++i)
    if (measured.ttft[i] > ttft[i] || measured.tbt[i] > other[i] || measured.e2e[i] > other[i]) return false;
  return true;
}

}  // namespace windlass
