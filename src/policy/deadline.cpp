#include "src/policy/deadline.hpp"

#include <algorithm>

namespace windlass {

DeadlinePlan plan_deadline(DeadlineInput const& input) {
  double const ahead_us = double(input.tokens_ahead) * input.us_per_prompt_token;
  double const own_us =
      double(input.prompt_tokens) * input.us_per_prompt_token + double(input.least_tokens) * double(input.us_per_step);
  DeadlinePlan plan{.needed_us = Microseconds(ahead_us + own_us), .retry_us = Microseconds(ahead_us)};
  if (input.left_us <= 0 || plan.needed_us > input.left_us) plan.verdict = DeadlinePlan::Verdict::too_late;
  return plan;
}

}  // namespace windlass
