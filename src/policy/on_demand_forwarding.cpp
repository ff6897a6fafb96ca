#include "src/policy/on_demand_forwarding.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace windlass {

ForwardingPlan plan_forwarding(ForwardingInput const& in) {
  if (in.targets.empty()) return {.order = {}, .retry_us = never_us, .stop = ForwardingStop::no_target};
  if (in.now_us + in.prefill_us > in.deadline_us)
    return {.order = {}, .retry_us = never_us, .stop = ForwardingStop::too_late};
  ForwardingPlan plan{.order = std::vector<std::size_t>(in.targets.size()),
                      .retry_us = in.now_us + in.backoff_us,
                      .stop = ForwardingStop::try_in_order};
  std::iota(plan.order.begin(), plan.order.end(), std::size_t{0});
  std::stable_sort(plan.order.begin(), plan.order.end(), [&](std::size_t a, std::size_t b) {
    auto const key = [&](std::size_t i) {
      return std::tuple(-in.targets[i].cached_tokens, in.targets[i].open_connections);
    };
    return key(a) < key(b);
  });
  return plan;
}

}  // namespace windlass
