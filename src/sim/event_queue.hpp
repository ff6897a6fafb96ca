/// The future of a simulation: events in order of time, those of one instant in the order they were added.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "src/core/clock.hpp"
#include "src/core/error.hpp"

namespace windlass {

/// `Event` is small and copyable. The virtual clock is the time of the last event taken.
template <class Event>
class EventQueue {
 public:
  /// `time_us` may not lie before the clock.
  void add(Microseconds time_us, Event event) {
    ensure(time_us >= now_us_, "an event was added in the past of the virtual clock");
    heap_.push_back({time_us, next_order_++, event});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  bool empty() const { return heap_.empty(); }
  Microseconds now_us() const { return now_us_; }

  /// Takes the next event and moves the clock to it. The queue must not be empty.
  Event take() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    Entry const next = heap_.back();
    heap_.pop_back();
    now_us_ = next.time_us;
    return next.event;
  }

 private:
  struct Entry {
    Microseconds time_us;
    std::uint64_t order;
    Event event;
  };
  static bool later(Entry const& a, Entry const& b) {
    return a.time_us != b.time_us ? a.time_us > b.time_us : a.order > b.order;
  }

  std::vector<Entry> heap_;
  std::uint64_t next_order_ = 0;
  Microseconds now_us_ = 0;
};

}  // namespace windlass
