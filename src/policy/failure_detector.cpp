#include "src/policy/failure_detector.hpp"

#include <algorithm>

namespace windlass {

FailurePlan plan_failures(FailureInput const& in) {
  FailurePlan plan{.lost = {}, .grace_until_us = in.grace_until_us};
  bool const jumped = in.last_look_us != 0 && in.now_us - in.last_look_us > in.rule.jump_us;
  if (jumped) plan.grace_until_us = std::max(plan.grace_until_us, in.now_us + in.rule.silence_us);
  if (in.now_us < plan.grace_until_us) return plan;
  for (std::size_t rank = 0; rank < in.heard_us.size(); ++rank)
    if (in.now_us - in.heard_us[rank] > in.rule.silence_us) plan.lost.push_back(rank);
  return plan;
}

}  // namespace windlass
