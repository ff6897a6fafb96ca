/// Which ranks form which instance.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "src/policy/layout.hpp"

namespace windlass {

/// Where a rank runs.
struct RankPlace {
  int host = 0;                    ///< 0 .. hosts - 1
  int numa = 0;                    ///< domain on that host that holds most of its cores
  std::uint64_t memory_bytes = 0;  ///< its share of what its host has free; 0: not known
};

enum class Fabric : std::uint8_t { slow, fast };  ///< between hosts: Ethernet, or InfiniBand and its like
enum class Objective : std::uint8_t {
  throughput,  ///< a batch: tokens per second count
  latency      ///< an endpoint: nobody's tokens may wait for somebody else's prompt
};

struct LayoutInput {
  Layout wanted;
  std::span<RankPlace const> ranks;  ///< [world ranks]
  Fabric fabric = Fabric::slow;
  Objective objective = Objective::throughput;
  std::uint64_t instance_bytes = 0;       ///< weights and the least KV cache of one instance; 0: not known
  std::span<int const> possible_tp = {};  ///< tensor-parallel degrees of the model, rising; empty: 1 alone
};

struct PlannedInstance {
  Role role = Role::mixed;
  int tp = 1, pp = 1;
  std::vector<int> ranks;  ///< [pp][tp] world ranks; the first one leads
  std::vector<int>
      peers;  ///< instances that it hands KV to (prefill), or gets it from (decode), in order of preference
};

enum class LayoutStop : std::uint8_t { planned, wrong_rank_count, model_does_not_fit };
enum class KvReach : std::uint8_t { inside_hosts, across_hosts };

struct LayoutPlan {
  Layout layout;  ///< what `auto` became
  std::vector<PlannedInstance> instances;
  std::vector<int> spare_ranks;
  KvReach kv_reach = KvReach::inside_hosts;  ///< of handoffs between peers
  std::vector<std::string> reasons;          ///< what was chosen and why, or why it cannot be, a line each
  LayoutStop stop = LayoutStop::planned;
};

/// Explicit layouts take every rank, or they are refused. `auto`: the smallest degree at which the model fits; then one
/// mixed instance per group of ranks for throughput, or half of them prefill and half decode for latency.
/// A tensor-parallel group stays on one host, and in one NUMA domain, where it fits. Low affinity (DistServe 4.2): with
/// several hosts and a slow fabric, stage s of a prefill instance and stage s of the decode instance that it feeds
/// share a host, and only such instances are peers. Local, pure, no errors.
LayoutPlan plan_layout(LayoutInput const& in);

}  // namespace windlass
