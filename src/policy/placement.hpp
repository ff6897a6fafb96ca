/// How many prefill and decode instances, and of which degrees (DistServe's placement, algorithms 1 and 2).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace windlass {

struct ParallelDegree {
  int tp = 1, pp = 1;
  int gpus() const { return tp * pp; }
  auto operator<=>(ParallelDegree const&) const = default;
};

/// One prefill instance beside its decode instance. `pp_cross` node segments; the degrees hold inside a segment.
struct PairedDegree {
  int pp_cross = 1;
  ParallelDegree prefill, decode;
  int gpus() const { return pp_cross * (prefill.gpus() + decode.gpus()); }
  auto operator<=>(PairedDegree const&) const = default;
};

struct PlacementModel {
  int heads, layers;                             ///< tp divides heads, pp divides layers
  std::function<bool(ParallelDegree)> runnable;  ///< weights and some KV fit, and figures are known
};

struct HighAffinityInput {
  PlacementModel model;
  int gpus_per_node;
  int max_nodes;                                                          ///< of one instance
  double rate;                                                            ///< requests/s the cluster must take
  std::function<double(ParallelDegree)> prefill_goodput, decode_goodput;  ///< requests/s of one instance
};

struct LowAffinityInput {
  PlacementModel model;
  int gpus_per_node;
  int max_nodes;  ///< of one pair of instances
  double rate;
  std::function<double(PairedDegree)> goodput;  ///< requests/s of one pair
};

enum class PlacementStop : std::uint8_t { found, nothing_runnable, nothing_meets_slo };

struct RankedDegree {
  ParallelDegree degree;
  double goodput_per_gpu;
};

struct HighAffinityPlan {
  RankedDegree prefill, decode;
  int prefill_instances, decode_instances;
  PlacementStop stop;
};

struct RankedPair {
  PairedDegree degree;
  double goodput_per_gpu;
};

struct LowAffinityPlan {
  std::vector<RankedPair> ranked;  ///< every candidate, the best first
  int pairs;                       ///< of ranked[0], for `rate`
  PlacementStop stop;
};

/// Any node may talk to any: each phase takes the degree with the highest goodput per GPU; ties go to fewer GPUs.
/// Local, pure if the goodput functions are; no errors. Source: DistServe (OSDI'24), algorithm 1.
HighAffinityPlan plan_high_affinity(HighAffinityInput const& in);

/// KV moves inside nodes only: stage i of prefill and stage i of decode share a node. Source: algorithm 2.
LowAffinityPlan plan_low_affinity(LowAffinityInput const& in);

/// The pairs that plan_low_affinity tries, in a fixed order.
std::vector<PairedDegree> paired_candidates(LowAffinityInput const& in);

}  // namespace windlass
