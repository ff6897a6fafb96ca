/// Sends a load plan to a server and notes when each token came back.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "jobs/load_requests.hpp"
#include "src/api/http_client.hpp"

namespace windlass {

/// Times on the job clock.
struct LoadOutcome {
  Microseconds counted_from_us = 0;        ///< its planned time; where --max-concurrency held it back, when it was sent
  Microseconds late_us = 0;                ///< sent so long after that: the generator fell behind
  Microseconds first_us = 0, last_us = 0;  ///< its first and last token; 0: none
  std::vector<Microseconds> gaps_us;       ///< between pieces of the stream
  std::int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;
  std::string error;  ///< empty: it was answered to its end

  double ttft_ms() const { return double(first_us - counted_from_us) * 1e-3; }
  double e2e_ms() const { return double(last_us - counted_from_us) * 1e-3; }
  double tpot_ms() const {
    return output_tokens > 1 ? double(last_us - first_us) * 1e-3 / double(output_tokens - 1) : 0;
  }
};

struct LoadConfig {
  BodyRecipe bodies;
  std::string api_key;
  int max_concurrency = 0;  ///< requests at a time; 0: whenever their time has come
  /// Called 50 times a second with the number of requests that are over. True: what runs is left, the rest not sent.
  std::function<bool(std::size_t done)> stop;
};

struct LoadResult {
  Microseconds begun_us = 0, ended_us = 0;
  std::vector<LoadOutcome> outcomes;  ///< [plan]; of a run that was stopped those that ended
};

/// Blocks until all are over. What one request meets is in its outcome.
LoadResult run_load(HttpClient& client, LoadConfig const& config, LoadPlan const& plan);

}  // namespace windlass
