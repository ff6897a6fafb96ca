#include "src/sim/measured_latency.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

namespace windlass {
namespace {

double least_tokens(std::vector<GridSample> const& samples) {
  double least = samples.empty() ? 1 : samples.front().tokens;
  for (GridSample const& sample : samples) least = std::min(least, sample.tokens);
  return least;
}

/// The samples of the shortest context alone: every count has one.
std::vector<GridSample> shortest_only(std::vector<GridSample> samples) {
  double const shortest = least_tokens(samples);
  std::erase_if(samples, [&](GridSample const& sample) { return sample.tokens > shortest; });
  return samples;
}

/// The rows of counts that were measured at long contexts: what a short row's two samples say of its slope is noise,
/// many times over at a long context.
std::vector<GridSample> long_rows(std::vector<GridSample> const& samples) {
  std::map<double, double> reaches;  // count -> longest context
  double longest = 0;
  for (GridSample const& sample : samples) {
    reaches[sample.count] = std::max(reaches[sample.count], sample.tokens);
    longest = std::max(longest, sample.tokens);
  }
  std::vector<GridSample> rows;
  for (GridSample const& sample : samples)
    if (reaches[sample.count] >= longest / 4) rows.push_back(sample);
  return rows;
}

}  // namespace

MeasuredLatency::MeasuredLatency(MeasuredProfile const& profile)
    : prefill_(profile.prefill),
      short_decode_(shortest_only(profile.decode)),
      long_decode_(long_rows(profile.decode)),
      beside_(profile.beside),
      ms_per_pair_(profile.ms_per_pair),
      shortest_context_(least_tokens(profile.decode)) {}

/// Prompts of one step share its rows; the pairs of one prompt of all its tokens are in the measurement already.
double MeasuredLatency::prefill_ms(StepWork const& work) const {
  double const tokens = double(work.prompt_tokens), pairs = (work.prompt_tokens_squared - tokens * tokens) / 2;
  return std::max(0.5 * prefill_.at(1, tokens), prefill_.at(1, tokens) + ms_per_pair_ * pairs);
}

/// What contexts longer than the shortest add to a step of decodes.
double MeasuredLatency::context_ms(double count, double context) const {
  return std::max(0.0, long_decode_.at(count, context) - long_decode_.at(count, shortest_context_));
}

Microseconds MeasuredLatency::step_us(StepWork const& work, int) const {
  double ms = work.prompts > 0 ? prefill_ms(work) : 0;
  if (work.sequences > 0) {
    double const count = double(work.sequences), context = double(work.sequence_context) / count;
    ms += work.prompts == 0 ? short_decode_.at(count, shortest_context_) : beside_.at(count, 1);
    ms += context_ms(count, context);
  }
  return std::max<Microseconds>(1, std::llround(ms * 1000));
}

}  // namespace windlass
