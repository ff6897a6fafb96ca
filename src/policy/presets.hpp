/// Each published system as a setting of the same mechanisms: which policy decides what, and with which parameters.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "src/policy/early_rejection.hpp"
#include "src/policy/eviction.hpp"
#include "src/policy/routing.hpp"
#include "src/policy/transfer_shape.hpp"
#include "src/policy/transfer_timing.hpp"

namespace windlass {

enum class ServingSystem : std::uint8_t {
  distserve_high,  ///< any node may talk to any
  distserve_low,   ///< KV moves inside nodes only
  splitwise,
  mooncake,
  memserve,
  pdserve,
  loongserve,
  muxserve,
  chunk_attention,
};

/// Roles that instances may have; a set of bits.
enum InstanceRoles : std::uint8_t { prefill_role = 1, decode_role = 2, mixed_role = 4, elastic_role = 8 };

enum class PlannerKind : std::uint8_t {
  manual,
  high_affinity,
  low_affinity,
  budget,
  role_ratio,
  degree_profile,
  meshes
};
enum class AdmissionKind : std::uint8_t { always, load_forecast, on_demand, memory_peak, batch_limit };
enum class BatchingKind : std::uint8_t {
  saturating_prompts,  ///< plan_prefill_batch up to L_m; persistent decode batches
  machine_batches,     ///< plan_machine_batch
  chunked_prefill,     ///< plan_step_batching
  fixed_slots,         ///< as many prompts as the profile says
  elastic_batches,     ///< plan_elastic_batches
  multiplexed,         ///< plan_multiplex_schedule
  shared_prefix_rows,  ///< plan_shared_prefix_rows
};
enum class ElasticKind : std::uint8_t { none, replan, mixed_pool, role_ratio, elastic_groups, quotas };
enum class IndexKind : std::uint8_t { none, global_blocks, global_trees, by_group, local_tree };

/// How a prompt's KV reaches the decode instance; nothing where both phases share an instance.
struct KvMove {
  TransferShape shape;
  TransferTiming timing;
  enum class Direction : std::uint8_t { push, pull } direction;
  std::int64_t layer_wise_from_tokens = 0;  ///< shorter prompts move after prefill, whatever `timing` says
  TransferTiming timing_of(std::int64_t prompt_tokens) const {
    return prompt_tokens < layer_wise_from_tokens ? TransferTiming::after_prefill : timing;
  }
};

struct SystemPreset {
  ServingSystem system;
  std::string_view name;  ///< "mooncake"
  std::uint8_t roles;     ///< InstanceRoles
  PlannerKind planner;
  AdmissionKind admission;
  std::optional<RejectionRule> rejection;  ///< of load_forecast
  RouteRule route;                         ///< of plan_route among the instances of the request's group or mesh
  BatchingKind batching;
  std::int64_t batch_tokens;  ///< prompt tokens of one step; 0: the profile's saturating length
  std::optional<KvMove> kv_move;
  ElasticKind elastic;
  IndexKind index;
  std::int32_t block_tokens;             ///< granule of reuse; 0 without an index
  std::optional<EvictionRule> eviction;  ///< of kept blocks
};

/// All of them. Source: the papers named in README.md; unpublished parameters have the values of their public code.
std::span<SystemPreset const> system_presets();

SystemPreset const& preset_of(ServingSystem system);

/// By name ("distserve-low"); nothing for an unknown one.
std::optional<ServingSystem> system_named(std::string_view name);

}  // namespace windlass
