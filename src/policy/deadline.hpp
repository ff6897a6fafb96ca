/// Whether a request can still make its deadline.
#pragma once

#include <cstdint>

#include "src/core/clock.hpp"

namespace windlass {

struct DeadlineInput {
  Microseconds left_us = 0;        ///< from now to the deadline
  std::int64_t prompt_tokens = 0;  ///< of the request
  std::int64_t tokens_ahead = 0;   ///< prompt tokens of the requests before it
  std::int64_t least_tokens = 0;   ///< that it will surely generate
  double us_per_prompt_token = 0;  ///< measured; 0: not known yet
  Microseconds us_per_step = 0;    ///< measured, per generated token; 0: not known yet
};

struct DeadlinePlan {
  enum class Verdict : std::uint8_t { possible, too_late } verdict = Verdict::possible;
  Microseconds needed_us = 0;  ///< at the least, by what was measured
  Microseconds retry_us = 0;   ///< after so long the requests before it are done
};

/// needed = (ahead + prompt) × prompt-token time + least tokens × step time; refused only where that is surely too
/// much.
DeadlinePlan plan_deadline(DeadlineInput const& input);

}  // namespace windlass
