// What the instances of a DistributedRunner have done, as their leaders have told last.
#include "src/serve/distributed_runner.hpp"

namespace windlass {

/// Adds what only grows.
void DistributedRunner::add_work_of(Instance const& instance, EngineCounters& sum) const {
  LoadSnapshot const load = courier_.load_of(instance.leader());
  sum.steps += std::int64_t(load.steps);
  sum.prompt_tokens += std::int64_t(load.prompt_tokens);
  sum.cached_tokens += std::int64_t(load.cached_tokens);
  sum.generated_tokens += std::int64_t(load.generated_tokens);
  sum.preemptions += std::int64_t(load.preemptions);
  sum.busy_us += std::int64_t(load.busy_us);
}

EngineCounters DistributedRunner::counters() const {
  EngineCounters sum = done_by_replaced_;
  for (Instance const& instance : instances_) {
    add_work_of(instance, sum);
    if (instance.lost) continue;
    LoadSnapshot const load = courier_.load_of(instance.leader());
    sum.running += int(load.running);
    sum.waiting += int(load.waiting);
    sum.pages += std::uint32_t(load.pages);
    sum.free_pages += std::uint32_t(load.free_pages);
  }
  return sum;
}

std::vector<InstanceView> DistributedRunner::views() const {
  std::vector<InstanceView> views;
  for (Instance const& instance : instances_) {
    LoadSnapshot const load = courier_.load_of(instance.leader());
    views.push_back({.role = instance.plan.role,
                     .ranks = instance.plan.ranks,
                     .lost = instance.lost,
                     .prompt_tokens = std::int64_t(load.prompt_tokens),
                     .cached_tokens = std::int64_t(load.cached_tokens),
                     .generated_tokens = std::int64_t(load.generated_tokens),
                     .busy_seconds = double(load.busy_us) * 1e-6,
                     .kv_in_bytes = instance.kv_in_bytes,
                     .kv_out_bytes = instance.kv_out_bytes});
    if (instance.lost) continue;  // nothing runs there any more, whatever it told last
    views.back().running = std::int64_t(load.running);
    views.back().waiting = std::int64_t(load.waiting);
    views.back().pages = load.pages;
    views.back().free_pages = load.free_pages;
  }
  return views;
}

InstancesView DistributedRunner::instances() const {
  return {.instances = views(),
          .shared = moved_.shared,
          .copied = moved_.copied,
          .failed_handoffs = moved_.failed,
          .restarted_requests = losses_.restarted_requests};
}

}  // namespace windlass
