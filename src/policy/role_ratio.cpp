#include "src/policy/role_ratio.hpp"

#include <algorithm>

namespace windlass {

double split_rate(PhaseProfile const& profile, int prefill, int decode) {
  return std::min(prefill * profile.prefill_per_s(), decode * profile.decode_per_s());
}

RoleRatioPlan plan_role_ratio(RoleRatioInput const& in) {
  RoleRatioPlan plan{.prefill = 0,
                     .decode = 0,
                     .requests_per_s = 0,
                     .prefill_per_decode = in.profile.decode_per_s() / in.profile.prefill_per_s(),
                     .stop = RoleRatioStop::too_few_instances};
  for (int prefill = 1; prefill < in.instances; ++prefill) {
    double const rate = split_rate(in.profile, prefill, in.instances - prefill);
    if (rate <= plan.requests_per_s) continue;
    plan.prefill = prefill;
    plan.decode = in.instances - prefill;
    plan.requests_per_s = rate;
  }
  if (plan.prefill > 0)
    plan.stop = plan.prefill * in.profile.prefill_per_s() <= plan.decode * in.profile.decode_per_s()
                    ? RoleRatioStop::prefill_limits
                    : RoleRatioStop::decode_limits;
  return plan;
}

RoleAdjustmentPlan plan_role_adjustment(RoleAdjustmentInput const& in) {
  if (in.e2e_ms <= in.baseline_e2e_ms * (1 + in.hysteresis)) return {0, RoleAdjustmentStop::steady};
  double const now = split_rate(in.profile, in.prefill, in.decode);
  auto const rate_after = [&](int moved) {
    bool const keeps_both = in.prefill + moved >= 1 && in.decode - moved >= 1;
    return keeps_both ? split_rate(in.profile, in.prefill + moved, in.decode - moved) : -1;
  };
  int moved = in.ttft_share > in.baseline_ttft_share ? 1 : -1;
  // prompts that wait for room to decode look like a slow prefill: the formula tells the two apart
  if (rate_after(moved) < now && rate_after(-moved) > now) moved = -moved;
  if (rate_after(moved) < now) return {0, RoleAdjustmentStop::nothing_to_move};
  return {moved, moved > 0 ? RoleAdjustmentStop::prefill_is_short : RoleAdjustmentStop::decode_is_short};
}

}  // namespace windlass
