/// What a simulated cluster did over time: totals of all steps, and the steps of a window.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "src/core/clock.hpp"
#include "src/sim/latency.hpp"

namespace windlass {

/// One step. `track` tells steps apart that run at once on one instance: stages, models, phases.
struct SimSpan {
  Microseconds begin_us, duration_us;
  std::uint32_t instance, track;
  StepWork work;
};

/// Part of the virtual time; empty where `to_us` is not after `from_us`.
struct SimWindow {
  Microseconds from_us = 0, to_us = 0;
};

/// Device time of the steps that a cluster took.
struct StepTotals {
  double prefill_us = 0;  ///< of steps with prompts
  double decode_us = 0;   ///< of steps of sequences alone
};

class SpanLog {
 public:
  explicit SpanLog(SimWindow window = {}) : window_(window) {}

  /// `devices` that the step keeps busy: 0 where another span counts them.
  void add(SimSpan const& span, double devices) {
    (span.work.prompts > 0 ? totals_.prefill_us : totals_.decode_us) += devices * double(span.duration_us);
    if (span.begin_us < window_.to_us && span.begin_us + span.duration_us > window_.from_us) spans_.push_back(span);
  }

  StepTotals const& totals() const { return totals_; }
  std::vector<SimSpan> const& spans() const { return spans_; }  ///< that touch the window, in order of their start

 private:
  SimWindow window_;
  StepTotals totals_;
  std::vector<SimSpan> spans_;
};

}  // namespace windlass
