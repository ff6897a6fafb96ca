#include "src/sim/workload.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace windlass {
namespace {

constexpr std::uint64_t length_stream = 1, arrival_stream = 2;

double gap_s(ArrivalProcess const& arrivals, RandomStream& random) {
  double const mean = 1 / arrivals.rate_per_s;
  if (arrivals.variation == 0) return mean;
  if (arrivals.variation == 1) return random.exponential(mean);
  double const square = arrivals.variation * arrivals.variation;
  return random.gamma(1 / square, square * mean);
}

std::int32_t draw(InverseDistribution const& column, RandomStream& random) {
  double const u = random.uniform();
  auto const above = std::upper_bound(column.share.begin() + 1, column.share.end() - 1, u);
  auto const i = std::size_t(above - column.share.begin());
  double const part = (u - column.share[i - 1]) / (column.share[i] - column.share[i - 1]);
  return std::int32_t(std::lround(column.tokens[i - 1] + part * (column.tokens[i] - column.tokens[i - 1])));
}

}  // namespace

Workload make_workload(WorkloadRecipe const& recipe) {
  RandomStream lengths(recipe.seed, length_stream), arrivals(recipe.seed, arrival_stream);
  Workload workload(std::size_t(recipe.requests));
  double time_s = 0;
  for (SimRequest& request : workload) {
    request.arrival_us = std::llround(time_s * 1e6);
    request.lengths = recipe.lengths(lengths);
    time_s += gap_s(recipe.arrivals, arrivals);
  }
  return workload;
}

LengthSampler fixed_lengths(TokenLengths lengths) {
  return [lengths](RandomStream&) { return lengths; };
}

LengthSampler share_gpt_lengths() {
  return [](RandomStream& random) {
    for (;;) {
      auto const prompt = std::int32_t(std::lround(random.log_normal(1050, 1050)));
      auto const output = std::int32_t(std::lround(random.log_normal(230, 240)));
      if (prompt >= 4 && prompt <= 2047 && output >= 4 && output <= 1500 && prompt + output < 2048)
        return TokenLengths{prompt, output};
    }
  };
}

LengthSampler independent_lengths(InverseDistribution prompt, InverseDistribution output) {
  return [prompt = std::move(prompt), output = std::move(output)](RandomStream& random) {
    auto const prompt_tokens = draw(prompt, random);
    return TokenLengths{prompt_tokens, draw(output, random)};
  };
}

LengthSampler azure_code_lengths() {
  std::vector<double> const share{0, .05, .25, .5, .75, .9, .95, .99, 1};
  return independent_lengths({share, {3, 75, 578, 1469, 2745, 5186, 7302, 7436, 7437}},
                             {share, {1, 6, 9, 13, 24, 55, 90, 252, 1899}});
}

LengthSampler azure_conversation_lengths() {
  std::vector<double> const share{0, .05, .25, .5, .75, .9, .95, .99, 1};
  return independent_lengths({share, {2, 181, 396, 1020, 1189, 2734, 4083, 4142, 14050}},
                             {share, {1, 41, 85, 129, 395, 424, 451, 601, 1000}});
}

}  // namespace windlass
