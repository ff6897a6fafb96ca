/// How long a step takes: the interface that every latency model has.
#pragma once

#include <cstdint>

#include "src/core/clock.hpp"

namespace windlass {

/// What one step of one pipeline stage computes: prompts, or sequences, or both.
struct StepWork {
  std::int64_t prompts = 0;
  std::int64_t prompt_tokens = 0;     ///< computed now, over all prompts
  double prompt_tokens_squared = 0;   ///< sum over prompts of tokens²
  std::int64_t sequences = 0;         ///< that decode one token each
  std::int64_t sequence_context = 0;  ///< sum over sequences of the context they read
};

class LatencyModel {
 public:
  virtual ~LatencyModel() = default;
  /// Time of the step on pipeline stage `stage` (0 first). `work` holds at least one prompt or sequence.
  virtual Microseconds step_us(StepWork const& work, int stage) const = 0;
};

}  // namespace windlass
