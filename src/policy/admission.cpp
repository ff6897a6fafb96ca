#include "src/policy/admission.hpp"

namespace windlass {

AdmissionPlan plan_admission(AdmissionInput const& in) {
  AdmissionPlan plan{.admitted = {}, .stop = AdmissionStop::queue_empty};
  std::uint32_t pages = in.free_pages, tokens = in.token_budget;
  for (WaitingSequence const& next : in.waiting) {
    if (next.pages_needed > pages) {
      plan.stop = AdmissionStop::no_free_pages;
      break;
    }
    if (next.uncached_tokens > tokens) {
      plan.stop = AdmissionStop::budget_spent;
      break;
    }
    pages -= next.pages_needed;
    tokens -= next.uncached_tokens;
    plan.admitted.push_back(next.id);
  }
  return plan;
}

}  // namespace windlass
