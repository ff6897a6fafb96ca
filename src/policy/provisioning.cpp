#include "src/policy/provisioning.hpp"

#include <cmath>

namespace windlass {

ProvisioningPlan plan_provisioning(ProvisioningInput const& in) {
  constexpr double slack = 1e-9;  // of a budget that is an exact multiple of the price
  ProvisioningPlan best{.mix = {0, 0}, .rate = 0, .stop = ProvisioningStop::budget_too_small};
  for (int prompts = 1;; prompts += in.step) {
    double const rest = in.budget - prompts * in.prompt_machine_price;
    int const tokens = int(std::floor(rest / in.token_machine_price + slack));
    if (tokens < 1) break;
    MachineMix const mix{.prompt_machines = prompts, .token_machines = tokens};
    double const rate = in.max_rate(mix);
    bool const smaller = prompts + tokens < best.mix.prompt_machines + best.mix.token_machines;
    if (best.stop == ProvisioningStop::budget_too_small || rate > best.rate || (rate == best.rate && smaller))
      best = {.mix = mix, .rate = rate, .stop = ProvisioningStop::found};
  }
  if (best.stop == ProvisioningStop::found && best.rate <= 0) best.stop = ProvisioningStop::nothing_meets_slo;
  return best;
}

}  // namespace windlass
