/// Whether a request that cannot meet its service levels is refused before it costs a prefill.
#pragma once

#include <cstdint>
#include <span>

#include "src/core/clock.hpp"

namespace windlass {

enum class RejectionRule : std::uint8_t {
  late,        ///< at arrival the prefill load alone; the decode instance refuses when the prompt is done
  early,       ///< at arrival both loads as they are now
  predictive,  ///< at arrival the decode load as it will be when the prompt is done
};

/// us a token = base + per_sequence * sequences + per_context * context tokens.
struct StepEstimate {
  double base_us, per_sequence_us, per_context_us;
  double at(double sequences, double context) const {
    return base_us + per_sequence_us * sequences + per_context_us * context;
  }
};

/// A sequence that decodes, or will once its prompt is done.
struct DecodeForecast {
  Microseconds decodes_from_us;  ///< past: since then; future: predicted end of prefill
  std::int64_t context_tokens;
};

struct EarlyRejectionInput {
  RejectionRule rule;
  double predicted_ttft_us, ttft_limit_us;
  double tbt_limit_us;
  double decode_step_us;  ///< of the instance that would decode it, this request included, now
  // for `predictive` alone:
  Microseconds first_token_at_us = 0;           ///< now + predicted TTFT
  Microseconds decode_duration_us = 0;          ///< t_d: how long a sequence decodes, one figure for all
  std::span<DecodeForecast const> sequences{};  ///< of all decode instances, and all that is before or in prefill
  std::int64_t decode_instances = 1;
  std::int64_t context_tokens = 0;  ///< of this request
  StepEstimate step{};
};

enum class RejectionStop : std::uint8_t { admitted, prefill_overloaded, decode_overloaded };

struct EarlyRejectionPlan {
  double prefill_load, decode_load;  ///< predicted over allowed; above 1 is refused
  RejectionStop stop;
};

/// Local, pure, no errors. Source: Mooncake (FAST'25), section on overload; t_d as its "system level" prediction.
EarlyRejectionPlan plan_early_rejection(EarlyRejectionInput const& in);

}  // namespace windlass
