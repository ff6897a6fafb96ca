/// A counter in memory that processes share: one process raises it, others wait for it.
#pragma once

#include <atomic>
#include <cstdint>

#include "src/core/clock.hpp"

namespace windlass {

/// Zeroed memory is a counter at zero.
class alignas(128) SharedCounter {
 public:
  std::uint32_t value() const { return value_.load(std::memory_order_acquire); }
  /// What the raiser wrote before is seen by whoever sees the new value.
  void raise_to(std::uint32_t value);
  /// Returns whether the counter reached `value` (in the cyclic order of 32 bits) within `patience_us`. Spins a few
  /// microseconds, then lets others run, then sleeps.
  bool wait_for(std::uint32_t value, Microseconds patience_us);

 private:
  bool reached(std::uint32_t value) const { return std::int32_t(this->value() - value) >= 0; }

  std::atomic<std::uint32_t> value_;
  std::atomic<std::uint32_t> sleepers_;
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free, "counters work between processes");

}  // namespace windlass
