#include "src/policy/early_rejection.hpp"

namespace windlass {
namespace {

/// Step time of the instance that would decode this request, over the limit: the others lie evenly on all instances.
double predicted_load(EarlyRejectionInput const& in) {
  double sequences = 0, context = 0;
  for (DecodeForecast const& each : in.sequences) {
    bool const started = each.decodes_from_us <= in.first_token_at_us;
    bool const ended = in.first_token_at_us - each.decodes_from_us > in.decode_duration_us;
    if (!started || ended) continue;
    sequences += 1;
    context += double(each.context_tokens);
  }
  double const instances = double(in.decode_instances);
  return in.step.at(sequences / instances + 1, context / instances + double(in.context_tokens)) / in.tbt_limit_us;
}

}  // namespace

EarlyRejectionPlan plan_early_rejection(EarlyRejectionInput const& in) {
  EarlyRejectionPlan plan{.prefill_load = in.predicted_ttft_us / in.ttft_limit_us,
                          .decode_load = in.decode_step_us / in.tbt_limit_us,
                          .stop = RejectionStop::admitted};
  if (in.rule == RejectionRule::predictive) plan.decode_load = predicted_load(in);
  if (plan.prefill_load > 1)
    plan.stop = RejectionStop::prefill_overloaded;
  else if (in.rule != RejectionRule::late && plan.decode_load > 1)
    plan.stop = RejectionStop::decode_overloaded;
  return plan;
}

}  // namespace windlass
