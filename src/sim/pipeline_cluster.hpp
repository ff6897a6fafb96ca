/// A cluster of pipelined instances that prefill, decode or do both: DistServe, and colocated engines like vLLM.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "src/policy/role_ratio.hpp"
#include "src/sim/latency.hpp"
#include "src/sim/outcome.hpp"
#include "src/sim/span_log.hpp"
#include "src/sim/workload.hpp"

namespace windlass {

enum class SimRole : std::uint8_t { prefill, decode, mixed };

constexpr std::int64_t unlimited = INT64_MAX / 4;

/// One instance. Limits are per step, pools per instance.
struct PipelineInstance {
  SimRole role;
  std::shared_ptr<LatencyModel const> latency;
  int stages = 1;                              ///< pipeline stages
  int devices = 1;                             ///< of the instance: what utilisation and power count
  std::int64_t max_prompts = unlimited;        ///< prompts in one step
  std::int64_t max_prompt_tokens = unlimited;  ///< prompt tokens in one step; one longer prompt goes alone
  std::int64_t max_context_tokens = 50'000;    ///< context that one decode step of one stage reads
  std::int64_t kv_tokens = unlimited;          ///< pool; a sequence reserves prompt + output when it is admitted
  /// Above 0 (mixed, one stage): prompts are cut, and a step computes up to so many of their tokens beside all decodes
  /// (plan_step_batching, as the engine does); `max_prompts` is then how many requests run at once.
  std::int64_t chunk_tokens = 0;
};

/// The way from a prefill to a decode instance. Each sender sends one prompt's KV at a time; where all share a fabric,
/// all transfers progress together, each with its fair part (max-min).
struct SimLink {
  double bytes_per_us = 0;  ///< of one sender; 0: transfers take no time
  double kv_bytes_per_token = 0;
  Microseconds latency_us = 0;
  double fabric_bytes_per_us = 0;  ///< that all senders share; 0: they do not meet
};

/// An instance loses all it has at `at_us`. Requests that were on it start again elsewhere from prompt and generated
/// tokens; prompts that it had not pulled yet go to another instance.
struct InstanceFailure {
  std::uint32_t instance;
  Microseconds at_us, repaired_us = never_us;
};

/// The ratio control loop (P/D-Serve): every window plan_role_adjustment may move one instance to the other role; it
/// drains first, and takes `switch_us` to be ready.
struct RoleControl {
  Microseconds window_us = 60'000'000, switch_us = 0;
  PhaseProfile profile;
  double hysteresis = 0.1;
};

/// Whether the first output token comes out of prefill, or needs a decode step (DistServe's own simulator).
enum class FirstToken : std::uint8_t { from_prefill, from_decode };

struct PipelineCluster {
  std::vector<PipelineInstance> instances;
  SimLink link{};
  FirstToken first_token = FirstToken::from_prefill;
  std::vector<InstanceFailure> failures{};
  /// Above 0: arrival times are passed over; so many requests come at once, and another when one ends (a batch).
  std::int64_t in_flight = 0;
  int max_restarts = 3;      ///< of one request; then it has failed
  SpanLog* spans = nullptr;  ///< gets every step; outlives the run
  std::optional<RoleControl> roles{};
};

struct InstanceUse {
  Microseconds busy_us = 0;  ///< of stage 0
  std::int64_t steps = 0;    ///< of all stages
  std::int64_t peak_kv_tokens = 0;
};

struct PipelineReport {
  std::vector<RequestOutcome> outcomes;  ///< as the workload
  std::vector<InstanceUse> use;          ///< as the instances
  std::int64_t transferred_tokens = 0;   ///< KV that moved between instances
  std::int64_t left_kv_tokens = 0;       ///< reserved at the end: 0 unless something leaked
  std::int64_t failures = 0, restarts = 0, role_changes = 0;
  Microseconds end_us = 0;
};

/// Runs the workload to its end. Every iteration of every stage is an event. A request that some pool could never
/// hold is rejected at arrival; one that nobody is left to serve has failed. Throws InputError where an instance or a
/// role is missing.
PipelineReport simulate(PipelineCluster const& cluster, Workload const& workload);

}  // namespace windlass
