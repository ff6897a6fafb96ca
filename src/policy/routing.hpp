/// Which instance prefills a request, and whence it takes a cached prefix: one cost, every system a setting of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "src/core/clock.hpp"

namespace windlass {

/// us = base + per_token * (new tokens) + per_square * (length² - cached²).
struct PrefillEstimate {
  double base_us, per_token_us, per_square_us;
  double at(double length, double cached) const {
    return base_us + per_token_us * (length - cached) + per_square_us * (length * length - cached * cached);
  }
};

struct RouteCandidate {
  double queue_us;             ///< until a prompt that comes now would start
  std::int64_t queue_tokens;   ///< prompt tokens that wait
  std::int64_t requests = 0;   ///< waiting and in prefill: its open connections
  std::int64_t cached_tokens;  ///< of this prompt, whole blocks
  double sender_backlog_us;    ///< until it could start to send KV
  double handoff_us;           ///< to move this prompt's KV on to the decode instance
};

enum class CacheUse : std::uint8_t {
  none,   ///< caches are not looked at
  local,  ///< an instance computes what itself lacks
  fetch,  ///< it may fetch a longer prefix from another instance first
};

enum class QueueMeasure : std::uint8_t { requests, tokens, time };

struct RouteRule {
  CacheUse cache = CacheUse::fetch;
  QueueMeasure queue = QueueMeasure::time;
  double fetch_ratio = 1;      ///< fetch only where the holder has more than this many times what the instance has
  double replicate_ratio = 2;  ///< where the best holder has that much more, its prefix is copied for later requests
  double handoff_weight = 0;   ///< of handoff_us
  double late_weight = 0;      ///< of the time beyond the TTFT limit
};

/// Settings of the systems.
RouteRule fewest_requests_rule();           ///< DistServe's shortest queue, P/D-Serve's open connections
RouteRule shortest_queue_rule();            ///< the same with queues in time
RouteRule token_queue_rule();               ///< Splitwise's JSQ
RouteRule mooncake_rule(double threshold);  ///< algorithm 1, both alternatives weighed
RouteRule prompt_tree_rule();               ///< MemServe
RouteRule prefix_affine_rule();             ///< ChunkAttention: what an instance itself has

struct RouteInput {
  std::span<RouteCandidate const> candidates;
  std::int64_t prompt_tokens;
  PrefillEstimate prefill;
  double fetch_us_per_token;
  double fetch_latency_us = 0;
  double ttft_limit_us = 1e18;
  RouteRule rule{};
};

enum class RouteStop : std::uint8_t { computes_all, reuses_local, fetches_prefix, no_candidate };

struct RoutePlan {
  std::size_t instance;
  std::optional<std::size_t> source;          ///< holder of the prefix that is fetched
  std::int64_t cached_tokens;                 ///< that need no prefill, once fetched
  double ttft_us;                             ///< predicted
  std::optional<std::size_t> replicate_from;  ///< the hot prefix should be copied from here to `instance`
  RouteStop stop;
};

/// cost(i) = queue + min over sources (fetch + prefill of the rest) + w * handoff + m * time beyond the limit; the
/// lowest index among equals. Local, pure, no errors. Source: Mooncake algorithm 1, MemServe's prompt trees,
/// Splitwise IV-A, DistServe 4.3, joined.
RoutePlan plan_route(RouteInput const& in);

/// The instances in order of that cost, for requests that ask one after the other who is idle (P/D-Serve).
std::vector<std::size_t> route_order(RouteInput const& in);

}  // namespace windlass
