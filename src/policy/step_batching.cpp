#include "src/policy/step_batching.hpp"

#include <algorithm>

namespace windlass {

StepBatchingPlan plan_step_batching(StepBatchingInput const& in) {
  StepBatchingPlan plan{.shares = {}, .stop = StepBatchingStop::all_served};
  std::uint32_t left = in.prefill_budget;
  for (RunningSequence const& sequence : in.running) {
    bool const decodes = sequence.pending_tokens == 1;
    std::uint32_t const tokens = decodes ? 1 : std::min(sequence.pending_tokens, left);
    if (!decodes) left -= tokens;
    if (tokens < sequence.pending_tokens) plan.stop = StepBatchingStop::budget_spent;
    if (tokens > 0) plan.shares.push_back({sequence.id, tokens});
  }
  return plan;
}

}  // namespace windlass
