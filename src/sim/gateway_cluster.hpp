/// Prefill instances behind a scheduler that estimates their queues, or behind a gateway that asks them (P/D-Serve).
#pragma once

#include <cstdint>

#include "src/sim/outcome.hpp"
#include "src/sim/workload.hpp"

namespace windlass {

enum class GatewayRule : std::uint8_t {
  estimates,  ///< at arrival to the shortest queue, as reported and with an error; waits there
  on_demand,  ///< plan_forwarding: an idle instance accepts, else the request waits at the gateway and asks again
};

struct GatewayCluster {
  std::int64_t instances;
  Microseconds base_us;  ///< of a prefill
  double us_per_token;
  GatewayRule rule = GatewayRule::on_demand;
  double estimate_error = 0;         ///< deviation of the factor on each estimate (log-normal, mean 1)
  Microseconds report_every_us = 0;  ///< age of the reported queues; 0: always fresh
  Microseconds backoff_us = 5'000;   ///< before a gateway asks again
  Microseconds ttft_limit_us = 1'000'000;
  std::uint64_t seed = 0;
};

struct GatewayReport {
  std::vector<RequestOutcome> outcomes;  ///< completed at the first token, or timed out
  std::int64_t asked = 0;                ///< instances that were asked
  Microseconds wasted_us = 0;            ///< prefill of requests whose first token came too late
};

/// Every instance prefills one prompt at a time. A request whose first token could not, or did not, come in time has
/// timed out. Throws InputError without an instance.
GatewayReport simulate(GatewayCluster const& cluster, Workload const& workload);

}  // namespace windlass
