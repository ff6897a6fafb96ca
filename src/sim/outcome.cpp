#include "src/sim/outcome.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace windlass {
namespace {

template <class Figure>
std::vector<double> of_completed(std::vector<RequestOutcome> const& outcomes, Figure const& figure) {
  std::vector<double> values;
  values.reserve(outcomes.size());
  for (RequestOutcome const& outcome : outcomes)
    if (outcome.end == RequestEnd::completed) values.push_back(figure(outcome));
  return values;
}

}  // namespace

double attainment(std::vector<RequestOutcome> const& outcomes, ServiceLevel level) {
  if (outcomes.empty()) return 0;
  auto const met = std::count_if(outcomes.begin(), outcomes.end(), [&](RequestOutcome const& outcome) {
    return outcome.end == RequestEnd::completed && outcome.ttft_ms() <= level.ttft_ms &&
           outcome.tpot_ms() <= level.tpot_ms;
  });
  return double(met) / double(outcomes.size());
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  double const position = share * double(values.size() - 1);
  auto const below = std::size_t(std::floor(position));
  std::nth_element(values.begin(), values.begin() + std::ptrdiff_t(below), values.end());
  double const low = values[below];
  if (below + 1 == values.size()) return low;
  double const high = *std::min_element(values.begin() + std::ptrdiff_t(below) + 1, values.end());
  return low + (position - double(below)) * (high - low);
}

double mean(std::vector<double> const& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / double(values.size());
}

std::vector<double> ttfts_ms(std::vector<RequestOutcome> const& outcomes) {
  return of_completed(outcomes, [](RequestOutcome const& outcome) { return outcome.ttft_ms(); });
}

std::vector<double> tpots_ms(std::vector<RequestOutcome> const& outcomes) {
  return of_completed(outcomes, [](RequestOutcome const& outcome) { return outcome.tpot_ms(); });
}

std::vector<double> e2es_ms(std::vector<RequestOutcome> const& outcomes) {
  return of_completed(outcomes, [](RequestOutcome const& outcome) { return outcome.e2e_ms(); });
}

std::vector<double> normalised_ms(std::vector<RequestOutcome> const& outcomes) {
  return of_completed(outcomes, [](RequestOutcome const& outcome) {
    return outcome.e2e_ms() / double(std::max(1, outcome.lengths.prompt_tokens + outcome.lengths.output_tokens));
  });
}

std::int64_t count_of(std::vector<RequestOutcome> const& outcomes, RequestEnd end) {
  return std::count_if(outcomes.begin(), outcomes.end(),
                       [end](RequestOutcome const& outcome) { return outcome.end == end; });
}

}  // namespace windlass
