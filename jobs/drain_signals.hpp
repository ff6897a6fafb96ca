/// SIGTERM, SIGINT and SIGUSR1: finish what runs, then stop.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "src/core/clock.hpp"

namespace windlass {

/// Made before any other thread, so that all of them leave these signals to this one. The first signal sets wanted();
/// the same again, a second later or more, calls `at_once`, which must end the process. SIGTERM behind SIGUSR1 only
/// brings the end nearer.
class DrainSignals {
 public:
  /// `hang_up`, if there is one, is called on SIGHUP, on a thread of this object.
  explicit DrainSignals(std::function<void()> at_once, std::function<void()> hang_up = nullptr);
  ~DrainSignals();
  DrainSignals(DrainSignals const&) = delete;
  DrainSignals& operator=(DrainSignals const&) = delete;

  bool wanted() const { return drained_us_ != never_us || terminated_us_ != never_us; }
  Microseconds drained_us() const { return drained_us_; }        ///< when SIGUSR1 came first; never_us: it did not
  Microseconds terminated_us() const { return terminated_us_; }  ///< the same for SIGTERM and SIGINT

 private:
  void wait_for_signals();
  void take(unsigned signal);

  std::function<void()> at_once_, hang_up_;
  std::atomic<Microseconds> drained_us_ = never_us, terminated_us_ = never_us;
  int signals_ = -1, stop_ = -1;  ///< descriptors: signalfd, eventfd
  std::thread thread_;
};

}  // namespace windlass
