#include "src/policy/routing.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace windlass {
namespace {

struct Option {
  double ready_us;  ///< from now until the first token
  std::int64_t cached_tokens;
  std::optional<std::size_t> source;
};

std::size_t longest_holder(std::span<RouteCandidate const> candidates) {
  auto const shorter = [](RouteCandidate const& a, RouteCandidate const& b) {
    return a.cached_tokens < b.cached_tokens;
  };
  return std::size_t(std::max_element(candidates.begin(), candidates.end(), shorter) - candidates.begin());
}

Option compute_option(RouteInput const& in, std::size_t i) {
  std::int64_t const cached = in.rule.cache == CacheUse::none ? 0 : in.candidates[i].cached_tokens;
  return {in.candidates[i].queue_us + in.prefill.at(double(in.prompt_tokens), double(cached)), cached, std::nullopt};
}

/// Fetching overlaps with waiting in the queue.
std::optional<Option> fetch_option(RouteInput const& in, std::size_t i, std::size_t holder) {
  if (in.rule.cache != CacheUse::fetch || holder == i) return std::nullopt;
  std::int64_t const own = in.candidates[i].cached_tokens, best = in.candidates[holder].cached_tokens;
  if (best <= own || double(best) <= in.rule.fetch_ratio * double(own)) return std::nullopt;
  double const fetched_us =
      in.candidates[holder].sender_backlog_us + in.fetch_latency_us + in.fetch_us_per_token * double(best - own);
  double const start_us = std::max(in.candidates[i].queue_us, fetched_us);
  return Option{start_us + in.prefill.at(double(in.prompt_tokens), double(best)), best, holder};
}

double cost_of(RouteInput const& in, std::size_t i, Option const& option) {
  if (in.rule.queue == QueueMeasure::requests) return double(in.candidates[i].requests);
  if (in.rule.queue == QueueMeasure::tokens) return double(in.candidates[i].queue_tokens);
  return option.ready_us + in.rule.handoff_weight * in.candidates[i].handoff_us +
         in.rule.late_weight * std::max(0.0, option.ready_us - in.ttft_limit_us);
}

/// The cheaper of computing and fetching on instance `i`.
Option best_option(RouteInput const& in, std::size_t i, std::size_t holder) {
  Option const computed = compute_option(in, i);
  auto const fetched = fetch_option(in, i, holder);
  return fetched && fetched->ready_us < computed.ready_us ? *fetched : computed;
}

RouteStop stop_of(Option const& option) {
  if (option.source) return RouteStop::fetches_prefix;
  return option.cached_tokens > 0 ? RouteStop::reuses_local : RouteStop::computes_all;
}

}  // namespace

RouteRule fewest_requests_rule() { return {.cache = CacheUse::none, .queue = QueueMeasure::requests}; }
RouteRule prefix_affine_rule() { return {.cache = CacheUse::local}; }
RouteRule shortest_queue_rule() { return {.cache = CacheUse::none}; }
RouteRule token_queue_rule() { return {.cache = CacheUse::none, .queue = QueueMeasure::tokens}; }
RouteRule mooncake_rule(double threshold) {
  return {.cache = CacheUse::fetch, .fetch_ratio = 1, .replicate_ratio = threshold};
}
RouteRule prompt_tree_rule() {
  return {.cache = CacheUse::fetch, .replicate_ratio = std::numeric_limits<double>::infinity()};
}

RoutePlan plan_route(RouteInput const& in) {
  RoutePlan plan{.instance = 0,
                 .source = {},
                 .cached_tokens = 0,
                 .ttft_us = 0,
                 .replicate_from = {},
                 .stop = RouteStop::no_candidate};
  if (in.candidates.empty()) return plan;
  std::size_t const holder = longest_holder(in.candidates);
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < in.candidates.size(); ++i) {
    Option const option = best_option(in, i, holder);
    double const cost = cost_of(in, i, option);
    if (cost >= least) continue;
    least = cost;
    plan = {.instance = i,
            .source = option.source,
            .cached_tokens = option.cached_tokens,
            .ttft_us = option.ready_us,
            .replicate_from = {},
            .stop = stop_of(option)};
  }
  double const best = double(in.candidates[holder].cached_tokens),
               own = double(in.candidates[plan.instance].cached_tokens);
  bool const hot = in.rule.cache == CacheUse::fetch && best > in.rule.replicate_ratio * own && best > own;
  if (hot) plan.replicate_from = holder;
  return plan;
}

std::vector<std::size_t> route_order(RouteInput const& in) {
  std::vector<std::size_t> order(in.candidates.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (order.empty()) return order;
  std::size_t const holder = longest_holder(in.candidates);
  std::vector<double> costs;
  for (std::size_t const i : order) costs.push_back(cost_of(in, i, best_option(in, i, holder)));
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return costs[a] < costs[b]; });
  return order;
}

}  // namespace windlass
