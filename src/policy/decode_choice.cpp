#include "src/policy/decode_choice.hpp"

#include <algorithm>
#include <limits>

namespace windlass {

DecodeChoicePlan plan_decode_choice(DecodeChoiceInput const& in) {
  auto const& all = in.candidates;
  if (all.empty()) return {.instance = 0, .stop = DecodeChoiceStop::no_candidate};
  double shortest_us = std::numeric_limits<double>::infinity();
  for (DecodeCandidate const& each : all)
    if (each.free_tokens >= in.reserved_tokens) shortest_us = std::min(shortest_us, each.step_us);
  if (shortest_us == std::numeric_limits<double>::infinity()) {
    auto const roomier = [](DecodeCandidate const& a, DecodeCandidate const& b) {
      return a.free_tokens < b.free_tokens;
    };
    return {.instance = std::size_t(std::max_element(all.begin(), all.end(), roomier) - all.begin()),
            .stop = DecodeChoiceStop::no_room};
  }
  DecodeChoicePlan plan{.instance = 0, .stop = DecodeChoiceStop::chosen};
  double nearest_us = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < all.size(); ++i) {
    bool const eligible =
        all[i].free_tokens >= in.reserved_tokens && all[i].step_us <= shortest_us * (1 + in.equal_within);
    if (!eligible || all[i].handoff_us >= nearest_us) continue;
    nearest_us = all[i].handoff_us;
    plan.instance = i;
  }
  return plan;
}

}  // namespace windlass
