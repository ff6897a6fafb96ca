#include "src/sim/gateway_cluster.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "src/core/error.hpp"
#include "src/policy/dispatch.hpp"
#include "src/policy/on_demand_forwarding.hpp"
#include "src/sim/event_queue.hpp"
#include "src/sim/fifo.hpp"

namespace windlass {
namespace {

enum class EventKind : std::uint8_t { arrival, ask, prefilled, report };

struct Event {
  EventKind kind;
  std::uint32_t instance, request;
};

struct Instance {
  Fifo queue;
  bool busy = false;
  Microseconds queued_us = 0;    ///< of prefills that wait or run
  Microseconds reported_us = 0;  ///< what the scheduler last heard
};

class Simulation {
 public:
  Simulation(GatewayCluster const& cluster, Workload const& workload)
      : cluster_(cluster), workload_(workload), instances_(std::size_t(cluster.instances)), random_(cluster.seed, 1) {
    if (cluster.instances < 1) throw InputError("the gateway needs at least one prefill instance");
    report_.outcomes.resize(workload.size());
  }

  GatewayReport run() {
    if (!workload_.empty()) events_.add(workload_[0].arrival_us, {EventKind::arrival, 0, 0});
    if (cluster_.report_every_us > 0) events_.add(0, {EventKind::report, 0, 0});
    while (!events_.empty() && ended_ < workload_.size()) handle(events_.take());
    return std::move(report_);
  }

 private:
  void handle(Event const& event) {
    switch (event.kind) {
      case EventKind::arrival:
        return arrive(event.request);
      case EventKind::ask:
        return ask(event.request);
      case EventKind::prefilled:
        return finish(event.instance, event.request);
      case EventKind::report:
        for (Instance& instance : instances_) instance.reported_us = instance.queued_us;
        return events_.add(events_.now_us() + cluster_.report_every_us, {EventKind::report, 0, 0});
    }
  }

  Microseconds prefill_us(std::uint32_t request) const {
    return cluster_.base_us + std::llround(cluster_.us_per_token * workload_[request].lengths.prompt_tokens);
  }

  void arrive(std::uint32_t request) {
    if (request + 1 < workload_.size())
      events_.add(workload_[request + 1].arrival_us, {EventKind::arrival, 0, request + 1});
    report_.outcomes[request].arrival_us = events_.now_us();
    report_.outcomes[request].lengths = workload_[request].lengths;
    if (cluster_.rule == GatewayRule::on_demand) return ask(request);
    std::vector<std::int64_t> estimates;
    for (Instance const& instance : instances_) {
      double const error = cluster_.estimate_error > 0 ? random_.log_normal(1, cluster_.estimate_error) : 1;
      Microseconds const queue_us = cluster_.report_every_us > 0 ? instance.reported_us : instance.queued_us;
      estimates.push_back(std::llround(double(queue_us) * error));
    }
    enqueue(std::uint32_t(plan_dispatch({.load = estimates}).instance), request);
  }

  void ask(std::uint32_t request) {
    std::vector<ForwardingTarget> targets;
    for (Instance const& instance : instances_)
      targets.push_back({.open_connections = instance.busy ? 1 : 0, .cached_tokens = 0});
    Microseconds const arrival_us = report_.outcomes[request].arrival_us;
    auto const plan = plan_forwarding({.targets = targets,
                                       .now_us = events_.now_us(),
                                       .deadline_us = arrival_us + cluster_.ttft_limit_us,
                                       .prefill_us = prefill_us(request),
                                       .backoff_us = cluster_.backoff_us});
    if (plan.stop != ForwardingStop::try_in_order) return time_out(request);
    for (std::size_t const each : plan.order) {
      ++report_.asked;
      if (!instances_[each].busy) return enqueue(std::uint32_t(each), request);
    }
    events_.add(plan.retry_us, {EventKind::ask, 0, request});
  }

  void enqueue(std::uint32_t index, std::uint32_t request) {
    instances_[index].queue.push(request);
    instances_[index].queued_us += prefill_us(request);
    if (!instances_[index].busy) start(index);
  }

  void start(std::uint32_t index) {
    Instance& instance = instances_[index];
    instance.busy = !instance.queue.empty();
    if (!instance.busy) return;
    std::uint32_t const request = instance.queue.front();
    instance.queue.pop();
    events_.add(events_.now_us() + prefill_us(request), {EventKind::prefilled, index, request});
  }

  void finish(std::uint32_t index, std::uint32_t request) {
    instances_[index].queued_us -= prefill_us(request);
    RequestOutcome& outcome = report_.outcomes[request];
    outcome.first_token_us = outcome.finish_us = events_.now_us();
    if (events_.now_us() - outcome.arrival_us > cluster_.ttft_limit_us) {
      report_.wasted_us += prefill_us(request);
      time_out(request);
    } else {
      outcome.end = RequestEnd::completed;
      ++ended_;
    }
    start(index);
  }

  void time_out(std::uint32_t request) {
    report_.outcomes[request].end = RequestEnd::timed_out;
    ++ended_;
  }

  GatewayCluster const& cluster_;
  Workload const& workload_;
  GatewayReport report_;
  EventQueue<Event> events_;
  std::vector<Instance> instances_;
  RandomStream random_;
  std::size_t ended_ = 0;
};

}  // namespace

GatewayReport simulate(GatewayCluster const& cluster, Workload const& workload) {
  return Simulation(cluster, workload).run();
}

}  // namespace windlass
