#include "src/policy/elastic_batching.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace windlass {
namespace {

constexpr double unreachable = std::numeric_limits<double>::infinity();

/// Sums over the first i prompts (longest first) or instances.
struct Sums {
  std::vector<double> tokens{0}, squares{0}, inverses{0}, free{0};
};

struct Cell {
  double cost = unreachable;
  std::size_t prompts = 0, instances = 0;  ///< of the last batch
};

class Programme {
 public:
  explicit Programme(ElasticBatchingInput const& in) : in_(in), order_(in.prompt_tokens.size()) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::size_t a, std::size_t b) { return in.prompt_tokens[a] > in.prompt_tokens[b]; });
    for (std::size_t const i : order_) {
      double const length = double(in.prompt_tokens[i]);
      sums_.tokens.push_back(sums_.tokens.back() + length);
      sums_.squares.push_back(sums_.squares.back() + length * length);
      sums_.inverses.push_back(sums_.inverses.back() + 1 / length);
    }
    for (std::int64_t const free : in.free_tokens) sums_.free.push_back(sums_.free.back() + double(free));
    columns_ = in.free_tokens.size() + 1;
    cells_.resize((order_.size() + 1) * columns_);
    for (std::size_t k = 0; k < columns_; ++k) at(0, k).cost = 0;
  }

  ElasticBatchingPlan solve() {
    std::size_t const prompts = order_.size(), instances = columns_ - 1;
    bool const exact = prompts <= in_.exact_prompts;
    for (std::size_t i = 1; i <= prompts; ++i)
      for (std::size_t k = 1; k <= instances; ++k) fill(i, k, exact ? i : batch_bound(i, k));
    std::size_t best = 0;
    for (std::size_t k = 1; k <= instances; ++k)
      if (at(prompts, k).cost < at(prompts, best).cost) best = k;
    return trace(prompts, best);
  }

 private:
  Cell& at(std::size_t i, std::size_t k) { return cells_[i * columns_ + k]; }

  /// More instances never want a larger last batch: nearly true, and checked nowhere below exact_prompts.
  std::size_t batch_bound(std::size_t i, std::size_t k) {
    Cell const& fewer = at(i, k - 1);
    return fewer.cost == unreachable ? i : fewer.prompts;
  }

  double time_us(std::size_t i, std::size_t prompts, std::size_t instances) const {
    ElasticDegreeTime const& time = in_.degree_times[instances - 1];
    return time.base_us + time.per_token_us * (sums_.tokens[i] - sums_.tokens[i - prompts]) +
           time.per_square_us * (sums_.squares[i] - sums_.squares[i - prompts]);
  }

  void fill(std::size_t i, std::size_t k, std::size_t max_prompts) {
    Cell& cell = at(i, k);
    for (std::size_t s = 1; s <= max_prompts; ++s) {
      double const tokens = sums_.tokens[i] - sums_.tokens[i - s];
      for (std::size_t u = 1; u <= k; ++u) {
        if (tokens > sums_.free[k] - sums_.free[k - u] || at(i - s, k - u).cost == unreachable) continue;
        double const cost = at(i - s, k - u).cost + time_us(i, s, u) * (sums_.inverses[i] - sums_.inverses[i - s]);
        if (cost < cell.cost) cell = {.cost = cost, .prompts = s, .instances = u};
      }
    }
  }

  ElasticBatchingPlan trace(std::size_t i, std::size_t k) {
    ElasticBatchingPlan plan{.batches = {}, .cost = at(i, k).cost, .time_us = 0, .stop = ElasticBatchingStop::planned};
    if (plan.cost == unreachable) {
      plan.stop = ElasticBatchingStop::too_few_tokens_free;
      return plan;
    }
    while (i > 0) {
      Cell const& last = at(i, k);
      ElasticBatch batch{.prompts = {}, .first_instance = k - last.instances, .instances = last.instances};
      batch.prompts.assign(order_.begin() + std::ptrdiff_t(i - last.prompts), order_.begin() + std::ptrdiff_t(i));
      plan.time_us = std::max(plan.time_us, time_us(i, last.prompts, last.instances));
      plan.batches.push_back(std::move(batch));
      i -= last.prompts;
      k -= last.instances;
    }
    std::reverse(plan.batches.begin(), plan.batches.end());
    return plan;
  }

  ElasticBatchingInput const& in_;
  std::vector<std::size_t> order_;
  Sums sums_;
  std::size_t columns_;
  std::vector<Cell> cells_;
};

}  // namespace

ElasticBatchingPlan plan_elastic_batches(ElasticBatchingInput const& in) {
  if (in.prompt_tokens.empty())
    return {.batches = {}, .cost = 0, .time_us = 0, .stop = ElasticBatchingStop::nothing_waits};
  return Programme(in).solve();
}

}  // namespace windlass
