/// The job clock: int64 microseconds, monotonic, from an arbitrary zero.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>

namespace windlass {

using Microseconds = std::int64_t;
constexpr Microseconds never_us = std::numeric_limits<Microseconds>::max();

inline Microseconds now_us() {
  using namespace std::chrono;
  return duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace windlass
