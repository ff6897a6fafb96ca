/// What a batch has done, counted when it is safe on disk.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <utility>

#include "src/serve/latency_histogram.hpp"

namespace windlass {

/// What one record adds.
struct RecordOutcome {
  enum class Kind : std::uint8_t { answered, input_error, failed } kind = Kind::answered;
  std::int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  std::uint64_t input_bytes = 0;
  struct Latency {
    double ttft_us = 0;
    double tpot_us = -1;  ///< below 0: fewer than two tokens, so there is none
  };
  std::deque<Latency> latencies;  ///< one per choice's prompt
};

struct BatchCounts {
  std::int64_t answered = 0, input_errors = 0, failures = 0;
  std::int64_t prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;
  std::uint64_t input_bytes = 0;

  std::int64_t records() const { return answered + input_errors + failures; }
};

/// Safe from any thread.
class BatchLedger {
 public:
  /// Record number `ordinal` of the writer was appended; ordinals rise.
  void add(std::uint64_t ordinal, RecordOutcome outcome);
  /// Counts the records up to `durable`.
  void settle(std::uint64_t durable);

  BatchCounts counts() const;
  LatencyHistogram ttft() const;
  LatencyHistogram tpot() const;

 private:
  void count(RecordOutcome::Kind kind);  // under mutex_
  mutable std::mutex mutex_;
  std::deque<std::pair<std::uint64_t, RecordOutcome>> open_;
  BatchCounts counts_;
  LatencyHistogram ttft_, tpot_;
};

}  // namespace windlass
