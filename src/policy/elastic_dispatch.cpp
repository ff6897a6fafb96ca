#include "src/policy/elastic_dispatch.hpp"

#include <algorithm>

namespace windlass {

ElasticDispatchPlan plan_elastic_dispatch(ElasticDispatchInput const& in) {
  ElasticDispatchPlan plan{.chosen = {}, .overtaken = in.overtaken, .stop = ElasticDispatchStop::nothing_waits};
  std::vector<GrowingSequence> all(in.running.begin(), in.running.end());
  std::int64_t free = in.free_tokens;
  double tokens = 0, squares = 0;
  bool passed = false, held = false;
  for (std::size_t i = 0; i < std::min(in.waiting.size(), in.longest_scan); ++i) {
    double const length = double(in.waiting[i].used_tokens);
    all.push_back(in.waiting[i]);
    bool const first = plan.chosen.empty(), alone = first && in.running.empty();
    bool const grows =
        plan_memory_peak({.sequences = all, .capacity_tokens = in.capacity_tokens}).stop == MemoryPeakStop::fits;
    double const prefill_us = in.time.base_us + in.time.per_token_us * (tokens + length) +
                              in.time.per_square_us * (squares + length * length);
    if (in.waiting[i].used_tokens <= free && (grows || alone) && (first || prefill_us <= in.max_prefill_us)) {
      plan.chosen.push_back(i);
      free -= in.waiting[i].used_tokens;
      tokens += length;
      squares += length * length;
      continue;
    }
    all.pop_back();
    passed = true;
    held = in.overtaken >= in.max_overtaking;
    if (held) break;
  }
  if (!plan.chosen.empty()) plan.overtaken = passed ? in.overtaken + 1 : 0;
  if (!in.waiting.empty()) plan.stop = passed ? ElasticDispatchStop::some_passed : ElasticDispatchStop::all_chosen;
  if (passed && plan.chosen.empty()) plan.stop = ElasticDispatchStop::nothing_fits;
  if (held) plan.stop = ElasticDispatchStop::must_not_overtake;
  return plan;
}

}  // namespace windlass
