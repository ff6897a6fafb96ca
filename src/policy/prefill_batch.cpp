#include "src/policy/prefill_batch.hpp"

namespace windlass {

PrefillBatchPlan plan_prefill_batch(PrefillBatchInput const& in) {
  PrefillBatchPlan plan{.prompts = 0, .tokens = 0, .stop = PrefillBatchStop::queue_empty};
  std::int64_t pages = in.free_pages;
  for (WaitingPrompt const& next : in.waiting) {
    if (plan.prompts == in.max_prompts) {
      plan.stop = PrefillBatchStop::too_many_prompts;
      break;
    }
    if (in.fit == PromptFit::until_saturated && plan.tokens >= in.saturating_tokens) {
      plan.stop = PrefillBatchStop::saturated;
      break;
    }
    if (plan.prompts > 0 && plan.tokens + next.tokens > in.max_tokens) {
      plan.stop = PrefillBatchStop::token_limit;
      break;
    }
    if (next.pages > pages) {
      plan.stop = PrefillBatchStop::no_free_pages;
      break;
    }
    pages -= next.pages;
    plan.tokens += next.tokens;
    ++plan.prompts;
  }
  return plan;
}

}  // namespace windlass
