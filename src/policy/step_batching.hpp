/// How many tokens of each running sequence the next step computes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "src/core/ids.hpp"

namespace windlass {

struct RunningSequence {
  SequenceId id;
  std::uint32_t pending_tokens;  ///< tokens whose KV is not computed yet; 1 for a sequence that decodes
};

struct StepBatchingInput {
  std::span<RunningSequence const> running;  ///< in order of admission
  std::uint32_t prefill_budget;              ///< prompt tokens of one step, at most
};

struct StepShare {
  SequenceId id;
  std::uint32_t tokens;
  bool operator==(StepShare const&) const = default;
};

enum class StepBatchingStop : std::uint8_t { all_served, budget_spent };

struct StepBatchingPlan {
  std::vector<StepShare> shares;  ///< in order of admission; nobody with 0 tokens
  StepBatchingStop stop;
};

/// Everyone who decodes gets one token; the others share the prefill budget in order of admission, so a long prompt is
/// cut into chunks and never delays a running decode by more than one chunk. Pure, no errors.
/// Source: Agrawal et al. 2023, arXiv:2308.16369 (chunked prefill with piggybacked decodes).
StepBatchingPlan plan_step_batching(StepBatchingInput const& in);

}  // namespace windlass
