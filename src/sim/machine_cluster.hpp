/// A cluster of machines with prompt, token and mixed pools: Splitwise, and its baseline of mixed batching.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "src/policy/pool_assignment.hpp"
#include "src/sim/latency.hpp"
#include "src/sim/outcome.hpp"
#include "src/sim/span_log.hpp"
#include "src/sim/workload.hpp"

namespace windlass {

struct Machine {
  MachinePool home;  ///< `mixed`: runs both phases, as in the baseline
  std::shared_ptr<LatencyModel const> latency;
  std::int64_t kv_tokens;  ///< pool
};

struct MachineLimits {
  std::int64_t batch_tokens = 2048, batch_tasks = 512;
  std::int32_t passed_over = 4;               ///< see plan_machine_batch
  std::int64_t pending_prompt_tokens = 8192;  ///< see plan_pool_assignment
};

enum class MachineAssignment : std::uint8_t {
  joint_pools,  ///< plan_pool_assignment
  colocated,    ///< both phases on the machine with the fewest pending tokens: the baseline
};

struct MachineCluster {
  std::vector<Machine> machines;
  MachineAssignment assignment = MachineAssignment::joint_pools;
  MachineLimits limits{};
  double transfer_tokens_per_us;  ///< KV between two machines; no contention
  SpanLog* spans = nullptr;       ///< gets every step; outlives the run
};

struct MachineReport {
  std::vector<RequestOutcome> outcomes;
  std::int64_t borrowed = 0;    ///< times a machine joined the mixed pool
  std::int64_t peak_mixed = 0;  ///< machines away from home at once
  std::int64_t preemptions = 0;
  std::int64_t overcommitted = 0;  ///< sequences that started beyond the pool because nothing else could
  std::int64_t transferred_tokens = 0;
  std::int64_t left_kv_tokens = 0;  ///< reserved at the end: 0 unless something leaked
};

/// Runs the workload to its end; every step of every machine is an event. The output length is known at assignment, as
/// in Splitwise's own simulator. A request that no machine could hold is rejected at arrival.
MachineReport simulate(MachineCluster const& cluster, Workload const& workload);

/// What one unloaded machine of `latency` would take: the yardstick of Splitwise's service levels.
struct Slowdowns {
  double ttft[3], tbt[3], e2e[3];  ///< P50, P90, P99 over completed requests
};
Slowdowns slowdowns(std::vector<RequestOutcome> const& outcomes, LatencyModel const& unloaded);

/// All nine limits: TTFT 2, 3, 6; TBT and E2E 1.25, 1.5, 5. Source: Splitwise, table VI.
bool meets_splitwise_levels(Slowdowns const& measured);

}  // namespace windlass
