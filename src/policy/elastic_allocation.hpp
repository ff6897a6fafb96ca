/// Which instances prefill the prompts that were chosen: idle ones, or also those of a group that decodes (LoongServe's
/// second step).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "src/policy/elastic_batching.hpp"

namespace windlass {

/// A group of instances between two steps of its decode.
struct DecodingGroup {
  std::int64_t instances;
  double inverse_generated;    ///< sum over its sequences of 1 / tokens generated so far
  std::int64_t kv_tokens;      ///< that it holds
  std::int64_t growth_tokens;  ///< that its sequences will still need, predicted
  std::int64_t free_tokens;    ///< of its pools
  std::int64_t steps;          ///< since prompts last took its instances
};

struct ElasticAllocationInput {
  std::span<std::int64_t const> prompt_tokens;  ///< [chosen prompts], all above 0
  std::int64_t idle_instances, idle_free_tokens;
  DecodingGroup group;                              ///< that could move or pause
  std::span<std::int64_t const> room_tokens;        ///< [other groups]: free in their pools beyond their own growth
  std::span<ElasticDegreeTime const> degree_times;  ///< [instances of the cluster]: of degree 1, 2, …
  double migration_us_per_token;
  std::int64_t steps_between_pauses;  ///< of a group, or prompts would keep it from decoding
};

enum class ElasticAllocationStop : std::uint8_t {
  idle_instances,  ///< these prefill, the group decodes on
  group_moves,     ///< its KV goes to another group; then its instances are idle, too
  group_pauses,    ///< idle instances and the group's prefill; it decodes on afterwards
  too_few_idle,    ///< these cannot hold the prompts, and the group has paused not long ago: they wait
  nothing_waits
};

struct ElasticAllocationPlan {
  std::optional<std::size_t> target;  ///< index into `room_tokens`: the fullest group that has room
  ElasticAllocationStop stop;
};

/// Moving pays where the prefill gains more time than the KV is on its way; pausing where the prompts gain more for
/// each of their tokens than the paused sequences lose for each of theirs, or idle instances cannot hold the prompts.
/// Local, pure, no errors. Source: LoongServe (SOSP'24), section 5.2, in the form of its published code.
ElasticAllocationPlan plan_elastic_allocation(ElasticAllocationInput const& in);

/// The group that `group` could move into, or nothing: the fullest of those with room.
std::optional<std::size_t> group_with_room(DecodingGroup const& group, std::span<std::int64_t const> room_tokens);

}  // namespace windlass
