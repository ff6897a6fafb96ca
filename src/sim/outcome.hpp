/// What became of the requests, and the figures that reports give.
#pragma once

#include <cstdint>
#include <vector>

#include "src/core/clock.hpp"
#include "src/sim/workload.hpp"

namespace windlass {

enum class RequestEnd : std::uint8_t {
  unfinished,
  completed,
  rejected_at_arrival,
  rejected_after_prefill,
  timed_out,
  failed  ///< started again too often, or nobody is left to serve it
};

struct RequestOutcome {
  Microseconds arrival_us = 0;
  Microseconds first_token_us = never_us;
  Microseconds finish_us = never_us;
  TokenLengths lengths{};
  std::int32_t decode_steps = 0;  ///< after the first token: what TPOT divides by
  RequestEnd end = RequestEnd::unfinished;

  double ttft_ms() const { return double(first_token_us - arrival_us) / 1000; }
  double tpot_ms() const { return decode_steps > 0 ? double(finish_us - first_token_us) / 1000 / decode_steps : 0; }
  double e2e_ms() const { return double(finish_us - arrival_us) / 1000; }
};

struct ServiceLevel {
  double ttft_ms, tpot_ms;
};

/// Completed requests that met both limits, over all requests.
double attainment(std::vector<RequestOutcome> const& outcomes, ServiceLevel level);

/// The value below which `share` (0 to 1) lies, linear between neighbours. 0 of nothing.
double percentile(std::vector<double> values, double share);
double mean(std::vector<double> const& values);

/// One figure of every completed request, in order of arrival.
std::vector<double> ttfts_ms(std::vector<RequestOutcome> const& outcomes);
std::vector<double> tpots_ms(std::vector<RequestOutcome> const& outcomes);
std::vector<double> e2es_ms(std::vector<RequestOutcome> const& outcomes);
std::vector<double> normalised_ms(std::vector<RequestOutcome> const& outcomes);  ///< E2E over prompt and output tokens

std::int64_t count_of(std::vector<RequestOutcome> const& outcomes, RequestEnd end);

}  // namespace windlass
