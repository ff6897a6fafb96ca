/// Hands things from one thread to another, and makes the first one wait when the second falls behind.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace windlass {

/// Safe from any thread. Holds things of up to `capacity` weight in all, and always room for one.
template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t capacity) : capacity_(capacity) {}

  /// Waits for room. False where the queue was stopped: `thing` is dropped.
  bool push(T thing, std::size_t weight) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return stopped_ || things_.empty() || held_ + weight <= capacity_; });
    if (stopped_) return false;
    held_ += weight;
    things_.emplace_back(std::move(thing), weight);
    more_.notify_one();
    return true;
  }

  /// Waits until something is there, the queue has ended, or `patience` is over. Nothing where there is nothing.
  template <class Duration>
  std::optional<T> pop(Duration patience) {
    std::unique_lock lock(mutex_);
    more_.wait_for(lock, patience, [&] { return !things_.empty() || ended_ || stopped_; });
    return take();
  }
  /// Waits until something is there; nothing only at the end.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    more_.wait(lock, [&] { return !things_.empty() || ended_ || stopped_; });
    return take();
  }

  /// The pushing side is done.
  void end() {
    std::lock_guard const lock(mutex_);
    ended_ = true;
    more_.notify_all();
  }
  /// The popping side wants no more: push() returns false, also where it waits.
  void stop() {
    std::lock_guard const lock(mutex_);
    stopped_ = true;
    room_.notify_all();
    more_.notify_all();
  }
  /// Ended, and everything was popped.
  bool exhausted() const {
    std::lock_guard const lock(mutex_);
    return ended_ && things_.empty();
  }

 private:
  std::optional<T> take() {
    if (things_.empty()) return std::nullopt;
    auto [thing, weight] = std::move(things_.front());
    things_.pop_front();
    held_ -= weight;
    room_.notify_one();
    return std::move(thing);
  }

  std::size_t const capacity_;
  mutable std::mutex mutex_;
  std::condition_variable room_, more_;
  std::deque<std::pair<T, std::size_t>> things_;
  std::size_t held_ = 0;
  bool ended_ = false, stopped_ = false;
};

}  // namespace windlass
