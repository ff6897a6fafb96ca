#include "src/serve/batch_statistics.hpp"

namespace windlass {

void BatchLedger::add(std::uint64_t ordinal, RecordOutcome outcome) {
  std::lock_guard const lock(mutex_);
  open_.emplace_back(ordinal, std::move(outcome));
}

void BatchLedger::settle(std::uint64_t durable) {
  std::lock_guard const lock(mutex_);
  for (; !open_.empty() && open_.front().first <= durable; open_.pop_front()) {
    RecordOutcome const& outcome = open_.front().second;
    count(outcome.kind);
    counts_.prompt_tokens += outcome.prompt_tokens;
    counts_.cached_tokens += outcome.cached_tokens;
    counts_.generated_tokens += outcome.generated_tokens;
    counts_.input_bytes += outcome.input_bytes;
    for (auto const& latency : outcome.latencies) {
      ttft_.add(latency.ttft_us);
      if (latency.tpot_us >= 0) tpot_.add(latency.tpot_us);
    }
  }
}

void BatchLedger::count(RecordOutcome::Kind kind) {
  switch (kind) {
    case RecordOutcome::Kind::answered:
      ++counts_.answered;
      return;
    case RecordOutcome::Kind::input_error:
      ++counts_.input_errors;
      return;
    case RecordOutcome::Kind::failed:
      ++counts_.failures;
      return;
  }
}

BatchCounts BatchLedger::counts() const {
  std::lock_guard const lock(mutex_);
  return counts_;
}

LatencyHistogram BatchLedger::ttft() const {
  std::lock_guard const lock(mutex_);
  return ttft_;
}

LatencyHistogram BatchLedger::tpot() const {
  std::lock_guard const lock(mutex_);
  return tpot_;
}

}  // namespace windlass
