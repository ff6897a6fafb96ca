/// How many machines of each kind a budget buys for the highest load (Splitwise's provisioning search).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace windlass {

struct MachineMix {
  int prompt_machines, token_machines;
};

struct ProvisioningInput {
  double budget;                                     ///< cost, power or count
  double prompt_machine_price, token_machine_price;  ///< in the budget's unit, > 0
  std::function<double(MachineMix)> max_rate;        ///< requests/s that a mix sustains within the service levels
  int step = 1;                                      ///< machines between two mixes that are tried
};

enum class ProvisioningStop : std::uint8_t { found, budget_too_small, nothing_meets_slo };

struct ProvisioningPlan {
  MachineMix mix;
  double rate;
  ProvisioningStop stop;
};

/// Tries every number of prompt machines, spends the rest on token machines, keeps the highest rate; ties go to fewer
/// machines. Local, pure if `max_rate` is; no errors. Source: Splitwise (ISCA'24), section IV-D.
ProvisioningPlan plan_provisioning(ProvisioningInput const& in);

}  // namespace windlass
