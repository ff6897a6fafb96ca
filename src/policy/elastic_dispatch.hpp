/// Which waiting prompts an elastic group starts now (LoongServe's first step).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "src/policy/elastic_batching.hpp"
#include "src/policy/memory_peak.hpp"

namespace windlass {

/// What decodes beside the prompts, and how long it is expected to.
struct ElasticDecodes {
  double step_us = 0;                                    ///< typically
  std::int64_t mean_output_tokens = 0;                   ///< of a sequence, predicted
  std::int64_t least_generated = 0, most_generated = 0;  ///< so far, by any sequence
  double pausing_inverse_generated = 0;  ///< sum of 1 / tokens generated over those that would pause; 0: nobody would
};

struct ElasticDispatchInput {
  std::span<GrowingSequence const> waiting;  ///< oldest first; `used_tokens` is what a prefill computes
  std::span<GrowingSequence const> running;  ///< in prefill or decode, anywhere
  std::int64_t capacity_tokens;              ///< of all instances
  std::int64_t free_tokens;                  ///< of those that would prefill
  ElasticDegreeTime time;                    ///< of a prefill over all of these
  ElasticDecodes decodes{};
  double max_prefill_us;                   ///< of prompts that start together; a longer one goes alone
  std::int32_t overtaken, max_overtaking;  ///< rounds in a row in which the oldest was passed, and how many may be
  std::size_t longest_scan = 64;           ///< of those that wait
};

enum class ElasticDispatchStop : std::uint8_t {
  all_chosen,
  some_passed,
  must_not_overtake,
  nothing_fits,
  nothing_waits
};

struct ElasticDispatchPlan {
  std::vector<std::size_t> chosen;  ///< indices into `waiting`, rising
  std::int32_t overtaken;           ///< pass it in again
  ElasticDispatchStop stop;
};

/// First come, first served, as long as memory lasts although all sequences grow (plan_memory_peak). Where decodes
/// would pause: only prompts for which that costs the paused sequences less, for each of their tokens, than waiting
/// costs the prompts. One that may not start now is passed, but not in too many rounds. Local, pure, no errors. Source:
/// LoongServe (SOSP'24), section 5.1. Its code also lets prompts wait for busy instances where all together would be
/// done earlier than the idle ones alone: simulated, that serves a third less, and is left out.
ElasticDispatchPlan plan_elastic_dispatch(ElasticDispatchInput const& in);

}  // namespace windlass
