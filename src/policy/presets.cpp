#include "src/policy/presets.hpp"

#include <algorithm>
#include <array>

#include "src/core/error.hpp"

namespace windlass {
namespace {

constexpr std::int64_t splitwise_layer_wise_tokens = 512;
constexpr std::int64_t machine_batch_tokens = 2048, mooncake_chunk_tokens = 2048, multiplex_batch_tokens = 2048;
constexpr double hot_copy_ratio = 2;  // Mooncake's threshold is tuned by hand and not published

KvMove pulled_pages() {
  return {.shape = TransferShape::pages, .timing = TransferTiming::after_prefill, .direction = KvMove::Direction::pull};
}
KvMove pushed(TransferShape shape, std::int64_t layer_wise_from_tokens) {
  return {.shape = shape,
          .timing = TransferTiming::layer_wise,
          .direction = KvMove::Direction::push,
          .layer_wise_from_tokens = layer_wise_from_tokens};
}

SystemPreset distserve(ServingSystem system, std::string_view name, PlannerKind planner) {
  return {.system = system,
          .name = name,
          .roles = prefill_role | decode_role,
          .planner = planner,
          .admission = AdmissionKind::always,
          .rejection = {},
          .route = fewest_requests_rule(),
          .batching = BatchingKind::saturating_prompts,
          .batch_tokens = 0,
          .kv_move = pulled_pages(),
          .elastic = ElasticKind::replan,
          .index = IndexKind::none,
          .block_tokens = 0,
          .eviction = {}};
}

SystemPreset splitwise() {
  return {.system = ServingSystem::splitwise,
          .name = "splitwise",
          .roles = prefill_role | decode_role | mixed_role,
          .planner = PlannerKind::budget,
          .admission = AdmissionKind::always,
          .rejection = {},
          .route = token_queue_rule(),
          .batching = BatchingKind::machine_batches,
          .batch_tokens = machine_batch_tokens,
          .kv_move = pushed(TransferShape::pages, splitwise_layer_wise_tokens),
          .elastic = ElasticKind::mixed_pool,
          .index = IndexKind::none,
          .block_tokens = 0,
          .eviction = {}};
}

SystemPreset mooncake() {
  return {.system = ServingSystem::mooncake,
          .name = "mooncake",
          .roles = prefill_role | decode_role,
          .planner = PlannerKind::manual,
          .admission = AdmissionKind::load_forecast,
          .rejection = RejectionRule::predictive,
          .route = mooncake_rule(hot_copy_ratio),
          .batching = BatchingKind::chunked_prefill,
          .batch_tokens = mooncake_chunk_tokens,
          .kv_move = pushed(TransferShape::pages, 0),
          .elastic = ElasticKind::none,
          .index = IndexKind::global_blocks,
          .block_tokens = 512,
          .eviction = EvictionRule::least_recent};
}

SystemPreset memserve() {
  return {.system = ServingSystem::memserve,
          .name = "memserve",
          .roles = prefill_role | decode_role | mixed_role,
          .planner = PlannerKind::manual,
          .admission = AdmissionKind::always,
          .rejection = {},
          .route = prompt_tree_rule(),
          .batching = BatchingKind::chunked_prefill,
          .batch_tokens = machine_batch_tokens,
          .kv_move = pushed(TransferShape::huge_pages, 0),
          .elastic = ElasticKind::none,
          .index = IndexKind::global_trees,
          .block_tokens = 16,
          .eviction = EvictionRule::least_recent};
}

SystemPreset pdserve() {
  return {.system = ServingSystem::pdserve,
          .name = "pdserve",
          .roles = prefill_role | decode_role,
          .planner = PlannerKind::role_ratio,
          .admission = AdmissionKind::on_demand,
          .rejection = {},
          .route = fewest_requests_rule(),
          .batching = BatchingKind::fixed_slots,
          .batch_tokens = 0,
          .kv_move = pushed(TransferShape::contiguous, 0),
          .elastic = ElasticKind::role_ratio,
          .index = IndexKind::by_group,
          .block_tokens = 16,
          .eviction = EvictionRule::least_recent};
}

SystemPreset loongserve() {
  return {.system = ServingSystem::loongserve,
          .name = "loongserve",
          .roles = elastic_role,
          .planner = PlannerKind::degree_profile,
          .admission = AdmissionKind::memory_peak,
          .rejection = {},
          .route = fewest_requests_rule(),
          .batching = BatchingKind::elastic_batches,
          .batch_tokens = 0,
          .kv_move = {},
          .elastic = ElasticKind::elastic_groups,
          .index = IndexKind::none,
          .block_tokens = 0,
          .eviction = {}};
}

SystemPreset muxserve() {
  return {.system = ServingSystem::muxserve,
          .name = "muxserve",
          .roles = mixed_role,
          .planner = PlannerKind::meshes,
          .admission = AdmissionKind::always,
          .rejection = {},
          .route = fewest_requests_rule(),
          .batching = BatchingKind::multiplexed,
          .batch_tokens = multiplex_batch_tokens,
          .kv_move = {},
          .elastic = ElasticKind::quotas,
          .index = IndexKind::none,
          .block_tokens = 0,
          .eviction = {}};
}

SystemPreset chunk_attention() {
  return {.system = ServingSystem::chunk_attention,
          .name = "chunk-attention",
          .roles = mixed_role,
          .planner = PlannerKind::manual,
          .admission = AdmissionKind::batch_limit,
          .rejection = {},
          .route = prefix_affine_rule(),
          .batching = BatchingKind::shared_prefix_rows,
          .batch_tokens = 0,
          .kv_move = {},
          .elastic = ElasticKind::none,
          .index = IndexKind::local_tree,
          .block_tokens = 64,
          .eviction = {}};
}

}  // namespace

std::span<SystemPreset const> system_presets() {
  static std::array<SystemPreset, 9> const presets{
      distserve(ServingSystem::distserve_high, "distserve-high", PlannerKind::high_affinity),
      distserve(ServingSystem::distserve_low, "distserve-low", PlannerKind::low_affinity),
      splitwise(),
      mooncake(),
      memserve(),
      pdserve(),
      loongserve(),
      muxserve(),
      chunk_attention()};
  return presets;
}

SystemPreset const& preset_of(ServingSystem system) {
  auto const all = system_presets();
  auto const found = std::find_if(all.begin(), all.end(), [&](SystemPreset const& p) { return p.system == system; });
  ensure(found != all.end(), "a system without a preset");
  return *found;
}

std::optional<ServingSystem> system_named(std::string_view name) {
  for (SystemPreset const& preset : system_presets())
    if (preset.name == name) return preset.system;
  return std::nullopt;
}

}  // namespace windlass
