/// SIGTERM, SIGINT and SIGUSR1: finish what runs, then stop.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace windlass {

/// Made before any other thread, so that all of them leave these signals to this one. The first signal sets wanted();
/// the second calls `at_once`, which must end the process.
class DrainSignals {
 public:
  /// `hang_up`, if there is one, is called on SIGHUP, on a thread of this object.
  explicit DrainSignals(std::function<void()> at_once, std::function<void()> hang_up = nullptr);
  ~DrainSignals();
  DrainSignals(DrainSignals const&) = delete;
  DrainSignals& operator=(DrainSignals const&) = delete;

  bool wanted() const { return count_ > 0; }

 private:
  void wait_for_signals();

  std::function<void()> at_once_, hang_up_;
  std::atomic<int> count_ = 0;
  int signals_ = -1, stop_ = -1;  ///< descriptors: signalfd, eventfd
  std::thread thread_;
};

}  // namespace windlass
