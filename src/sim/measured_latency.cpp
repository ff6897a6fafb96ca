#include "src/sim/measured_latency.hpp"

#include <algorithm>
#include <cmath>

namespace windlass {
namespace {

double least_tokens(std::vector<GridSample> const& samples) {
  double least = samples.empty() ? 1 : samples.front().tokens;
  for (GridSample const& sample : samples) least = std::min(least, sample.tokens);
  return least;
}

}  // namespace

MeasuredLatency::MeasuredLatency(MeasuredProfile const& profile)
    : prefill_(profile.prefill),
      decode_(profile.decode),
      beside_(profile.beside),
      ms_per_pair_(profile.ms_per_pair),
      shortest_context_(least_tokens(profile.decode)) {}

/// Prompts of one step share its rows; the pairs of one prompt of all its tokens are in the measurement already.
double MeasuredLatency::prefill_ms(StepWork const& work) const {
  double const tokens = double(work.prompt_tokens), pairs = (work.prompt_tokens_squared - tokens * tokens) / 2;
  return std::max(0.5 * prefill_.at(1, tokens), prefill_.at(1, tokens) + ms_per_pair_ * pairs);
}

Microseconds MeasuredLatency::step_us(StepWork const& work, int) const {
  double ms = work.prompts > 0 ? prefill_ms(work) : 0;
  if (work.sequences > 0) {
    double const count = double(work.sequences), context = double(work.sequence_context) / count;
    double const alone = decode_.at(count, context);
    ms +=
        work.prompts == 0 ? alone : beside_.at(count, 1) + std::max(0.0, alone - decode_.at(count, shortest_context_));
  }
  return std::max<Microseconds>(1, std::llround(ms * 1000));
}

}  // namespace windlass
