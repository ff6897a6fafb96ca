/// Disaggregated instances with prefix caches and load-based rejection: Mooncake and MemServe.
#pragma once

#include <cstdint>
#include <vector>

#include "src/policy/early_rejection.hpp"
#include "src/policy/eviction.hpp"
#include "src/policy/routing.hpp"
#include "src/sim/outcome.hpp"
#include "src/sim/span_log.hpp"
#include "src/sim/workload.hpp"

namespace windlass {

enum class PrefillChoice : std::uint8_t {
  by_cost,  ///< plan_route with `route`
  random,
  session,  ///< all requests of a session on one instance
};

/// What stays in the prefill instances' caches.
enum class KeptKv : std::uint8_t {
  nothing,
  prompt,             ///< PD-Caching-1 and -2
  prompt_and_output,  ///< PD-Caching-3: decode-made KV comes back
};

/// A slower place for what the device drops; loading overlaps with the prefill, layer by layer.
struct CacheTier {
  std::size_t blocks;        ///< of one prefill instance
  double load_us_per_token;  ///< over the tier's link
  bool shared_link = false;  ///< one link for all instances (a file system) instead of one for each
};

struct CacheCluster {
  std::int64_t prefill_instances, decode_instances;
  PrefillEstimate prefill;  ///< of one node with all layers
  StepEstimate step;
  double kv_us_per_token;    ///< of a link between two instances
  std::int64_t layers = 80;  ///< KV leaves layer by layer: the last layer's is exposed
  std::int32_t block_tokens = 512;
  std::size_t cache_blocks;        ///< of one prefill instance, on the device
  std::vector<CacheTier> tiers{};  ///< below the device: host, disk
  EvictionRule eviction = EvictionRule::least_recent;
  KeptKv kept = KeptKv::prompt;
  PrefillChoice choice = PrefillChoice::by_cost;
  RouteRule route{};
  RejectionRule rejection = RejectionRule::late;
  ServiceLevel level{.ttft_ms = 1e12, .tpot_ms = 1e12};  ///< refused beyond it; TPOT limits the time of one step
  Microseconds decode_duration_us = 0;                   ///< t_d of predictive rejection
  std::uint64_t seed = 0;                                ///< of random choices
  int stages = 1;                                        ///< nodes of a prefill instance, each with some of the layers
  std::int64_t chunk_tokens = 2'048;                     ///< of a prompt that runs through the stages
  double hop_us = 0;                                     ///< of a chunk's activations from one stage to the next
  SpanLog* spans = nullptr;                              ///< gets every step; outlives the run
};

struct CacheReport {
  std::vector<RequestOutcome> outcomes;
  std::int64_t prompt_blocks = 0, hit_blocks = 0;  ///< whole blocks of prefilled prompts; those that needed no prefill
  std::vector<std::int64_t> tier_hit_blocks;       ///< of the hits: on the device, then by tier
  std::int64_t fetched_tokens = 0, replicated_tokens = 0, handoff_tokens = 0;
  std::int64_t rejected_for_prefill = 0, rejected_for_decode = 0;  ///< at arrival: for which load
  Microseconds wasted_prefill_us = 0;                              ///< of prompts that were refused after prefill
  std::vector<double> decode_loads;  ///< mean step over the limit, sampled every second while requests come
};

/// Runs the workload to its end. Throws InputError without prefill or decode instances.
CacheReport simulate(CacheCluster const& cluster, Workload const& workload);

}  // namespace windlass
