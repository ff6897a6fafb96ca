/// DistServe's published models as clusters of the simulator, and its search for the best placement.
#pragma once

#include <cstdint>
#include <optional>

#include "src/policy/goodput.hpp"
#include "src/policy/placement.hpp"
#include "src/sim/pipeline_cluster.hpp"
#include "src/sim/polynomial_latency.hpp"

namespace windlass {

/// One prefill and one decode instance; nothing where a degree was not measured. Stages cross `pp_cross` nodes.
/// KV transfers take no time, prompts fill a step up to the pool, and the first token takes a decode step: as in
/// DistServe's own simulator.
std::optional<PipelineCluster> distserve_pair(ProfiledModel model, PairedDegree degree);

/// One colocated instance of `degree`, prompts first.
std::optional<PipelineCluster> colocated_instance(ProfiledEngine engine, ProfiledModel model, ParallelDegree degree);

/// Which requests count: those that meet both limits, or the two percentiles apart (DistServe's own search).
enum class AttainmentRule : std::uint8_t { joint, separate };

struct AttainmentGoal {
  ServiceLevel level;
  double target = 0.9;
  AttainmentRule rule = AttainmentRule::joint;
};
bool meets(std::vector<RequestOutcome> const& outcomes, AttainmentGoal const& goal);

struct PairSearch {
  ProfiledModel model;
  ServiceLevel level;
  double target = 0.9;
  AttainmentRule rule = AttainmentRule::joint;
  std::int64_t requests = 300;
  std::uint64_t seed = 0;
  LengthSampler lengths;
  double high_rate_per_gpu = 5, tolerance_per_gpu = 0.25;
};

/// Highest rate per GPU at which the cluster of `gpus` GPUs meets the level.
GoodputPlan goodput_per_gpu(PairSearch const& search, PipelineCluster const& cluster, int gpus);

/// DistServe's low-affinity placement on `nodes` nodes of `gpus_per_node` GPUs for one pair.
LowAffinityPlan search_pairs(PairSearch const& search, int nodes, int gpus_per_node);

}  // namespace windlass
