#include "src/sim/table_latency.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "src/core/error.hpp"

namespace windlass {

double StepCurve::at(double batch_tokens) const {
  auto const above = std::upper_bound(tokens.begin() + 1, tokens.end() - 1, batch_tokens);
  auto const i = std::size_t(above - tokens.begin());
  double const slope = (ms[i] - ms[i - 1]) / (tokens[i] - tokens[i - 1]);
  return ms[i - 1] + slope * (batch_tokens - tokens[i - 1]);
}

TableLatency::TableLatency(StepCurve prompt, StepCurve token, double mixed_factor)
    : prompt_(std::move(prompt)), token_(std::move(token)), mixed_factor_(mixed_factor) {
  for (StepCurve const* curve : {&prompt_, &token_})
    if (curve->tokens.size() < 2 || curve->ms.size() != curve->tokens.size() ||
        !std::is_sorted(curve->tokens.begin(), curve->tokens.end()))
      throw InputError("a latency table needs at least two points, by ascending tokens");
}

Microseconds TableLatency::step_us(StepWork const& work, int) const {
  double ms = 0;
  if (work.sequences == 0)
    ms = prompt_.at(double(work.prompt_tokens));
  else if (work.prompts == 0)
    ms = token_.at(double(work.sequences));
  else
    ms = mixed_factor_ * prompt_.at(double(work.prompt_tokens + work.sequences));
  return std::max<Microseconds>(1, std::llround(ms * 1000));
}

}  // namespace windlass
