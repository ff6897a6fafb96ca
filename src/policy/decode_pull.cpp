#include "src/policy/decode_pull.hpp"

namespace windlass {

DecodePullPlan plan_decode_pull(DecodePullInput const& in) {
  DecodePullPlan plan{.offers = 0, .stop = DecodePullStop::no_offer};
  double const max_waiting = in.max_waiting_share * double(in.pool_pages);
  std::int64_t free = in.free_pages, waiting = in.waiting_pages;
  for (std::int64_t pages : in.pages) {
    if (double(waiting) >= max_waiting) {
      plan.stop = DecodePullStop::enough_waiting;
      break;
    }
    if (pages > free) {
      plan.stop = DecodePullStop::no_free_pages;
      break;
    }
    free -= pages;
    waiting += pages;
    ++plan.offers;
  }
  return plan;
}

}  // namespace windlass
