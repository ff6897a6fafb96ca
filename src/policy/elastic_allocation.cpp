#include "src/policy/elastic_allocation.hpp"

#include <limits>

namespace windlass {
namespace {

constexpr double never = std::numeric_limits<double>::infinity();

struct PromptSums {
  double tokens = 0, squares = 0, inverses = 0;
};

PromptSums sums_of(std::span<std::int64_t const> prompt_tokens) {
  PromptSums sums;
  for (std::int64_t const prompt : prompt_tokens) {
    double const length = double(prompt);
    sums.tokens += length;
    sums.squares += length * length;
    sums.inverses += 1 / length;
  }
  return sums;
}

double prefill_us(ElasticAllocationInput const& in, PromptSums const& sums, std::int64_t instances) {
  ElasticDegreeTime const& time = in.degree_times[std::size_t(instances - 1)];
  return time.base_us + time.per_token_us * sums.tokens + time.per_square_us * sums.squares;
}

}  // namespace

std::optional<std::size_t> group_with_room(DecodingGroup const& group, std::span<std::int64_t const> room_tokens) {
  std::optional<std::size_t> fullest;
  for (std::size_t i = 0; i < room_tokens.size(); ++i)
    if (room_tokens[i] >= group.kv_tokens + group.growth_tokens && (!fullest || room_tokens[i] < room_tokens[*fullest]))
      fullest = i;
  return fullest;
}

ElasticAllocationPlan plan_elastic_allocation(ElasticAllocationInput const& in) {
  if (in.prompt_tokens.empty()) return {.target = {}, .stop = ElasticAllocationStop::nothing_waits};
  PromptSums const sums = sums_of(in.prompt_tokens);
  bool const idle_hold = in.idle_instances > 0 && sums.tokens <= double(in.idle_free_tokens);
  double const idle_us = idle_hold ? prefill_us(in, sums, in.idle_instances) : never;
  double const together_us = prefill_us(in, sums, in.idle_instances + in.group.instances);
  double const gain_us = idle_us - together_us;

  auto const target = group_with_room(in.group, in.room_tokens);
  if (target && gain_us > in.migration_us_per_token * double(in.group.kv_tokens))
    return {.target = target, .stop = ElasticAllocationStop::group_moves};
  bool const may_pause = in.group.steps >= in.steps_between_pauses;
  if (may_pause && (!idle_hold || gain_us * sums.inverses >= together_us * in.group.inverse_generated))
    return {.target = {}, .stop = ElasticAllocationStop::group_pauses};
  return {.target = {},
          .stop = idle_hold ? ElasticAllocationStop::idle_instances : ElasticAllocationStop::too_few_idle};
}

}  // namespace windlass
