#include "src/policy/token_retention.hpp"

#include <algorithm>
#include <numeric>

namespace windlass {

TokenRetentionPlan plan_token_retention(TokenRetentionInput const& in) {
  std::vector<std::size_t> order(in.used_tokens.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return in.used_tokens[a] > in.used_tokens[b]; });
  TokenRetentionPlan plan{.ranges = {}, .released = {}, .stop = TokenRetentionStop::packed};
  std::size_t next = 0;
  std::int64_t kept = 0;  // on order[next]
  for (std::size_t prompt = 0; prompt < in.prompt_tokens.size(); ++prompt) {
    for (std::int64_t begin = 0; begin < in.prompt_tokens[prompt];) {
      if (next == order.size()) return {.ranges = {}, .released = {}, .stop = TokenRetentionStop::too_few_tokens_free};
      std::int64_t const room = in.capacity_tokens - in.used_tokens[order[next]] - kept;
      if (room <= 0) {
        ++next;
        kept = 0;
        continue;
      }
      std::int64_t const count = std::min(room, in.prompt_tokens[prompt] - begin);
      plan.ranges.push_back({.prompt = prompt, .instance = order[next], .begin = begin, .end = begin + count});
      begin += count;
      kept += count;
    }
  }
  for (std::size_t instance = 0; instance < in.used_tokens.size(); ++instance)
    if (std::none_of(plan.ranges.begin(), plan.ranges.end(),
                     [&](RetainedRange const& range) { return range.instance == instance; }))
      plan.released.push_back(instance);
  return plan;
}

}  // namespace windlass
