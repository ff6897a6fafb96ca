#include "src/policy/elastic_dispatch.hpp"

#include <algorithm>

namespace windlass {
namespace {

/// Prompts that start together.
struct Together {
  double tokens = 0, squares = 0, inverses = 0;

  Together with(double length) const {
    return {tokens + length, squares + length * length, inverses + 1 / std::max(1.0, length)};
  }
  double us(ElasticDegreeTime const& time) const {
    return time.base_us + time.per_token_us * tokens + time.per_square_us * squares;
  }
};

/// Until instances that decode are expected to be idle.
double wait_us(ElasticDecodes const& decodes) {
  constexpr std::int64_t least = 10, part_of_longest = 10;
  return decodes.step_us * double(std::max({least, decodes.mean_output_tokens - decodes.least_generated,
                                            decodes.most_generated / part_of_longest}));
}

bool is_worth_a_pause(ElasticDispatchInput const& in, Together const& prompts) {
  double const loss = prompts.us(in.time) * in.decodes.pausing_inverse_generated;
  return loss <= wait_us(in.decodes) * prompts.inverses;
}

}  // namespace

ElasticDispatchPlan plan_elastic_dispatch(ElasticDispatchInput const& in) {
  ElasticDispatchPlan plan{.chosen = {}, .overtaken = in.overtaken, .stop = ElasticDispatchStop::nothing_waits};
  std::vector<GrowingSequence> all(in.running.begin(), in.running.end());
  std::int64_t free = in.free_tokens;
  Together chosen;
  bool passed = false, held = false;
  for (std::size_t i = 0; i < std::min(in.waiting.size(), in.longest_scan); ++i) {
    bool const first = plan.chosen.empty(), alone = first && in.running.empty();
    Together const with_this = chosen.with(double(in.waiting[i].used_tokens));
    all.push_back(in.waiting[i]);
    bool const grows =
        plan_memory_peak({.sequences = all, .capacity_tokens = in.capacity_tokens}).stop == MemoryPeakStop::fits;
    bool const in_time = first || with_this.us(in.time) <= in.max_prefill_us;
    if (in.waiting[i].used_tokens <= free && (alone || (grows && is_worth_a_pause(in, with_this))) && in_time) {
      plan.chosen.push_back(i);
      free -= in.waiting[i].used_tokens;
      chosen = with_this;
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
