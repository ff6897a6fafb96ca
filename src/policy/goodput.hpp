/// The highest rate that still meets the service levels, by bisection.
#pragma once

#include <cstdint>
#include <functional>

namespace windlass {

struct GoodputInput {
  std::function<bool(double rate)> meets;  ///< simulates at `rate`; monotone but for noise
  double low_rate = 0;                     ///< known to meet; 0 where nothing is known
  double high_rate = 5;
  double tolerance = 0.25;  ///< stops when the interval is no wider
};

enum class GoodputStop : std::uint8_t { found, nothing_met, everything_met };

struct GoodputPlan {
  double rate;  ///< the highest rate tried that met; `low_rate` where none did
  int trials;
  GoodputStop stop;
};

/// Halves [low, high] until it is no wider than the tolerance. Local, pure if `meets` is; no errors.
/// Source: DistServe (OSDI'24), section 4.1.
GoodputPlan plan_goodput(GoodputInput const& in);

}  // namespace windlass
