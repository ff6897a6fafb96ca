/// A thread for work that would keep a loop from its other connections: long prompts to be tokenised.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "src/serve/bounded_queue.hpp"

namespace windlass {

/// Safe from any thread.
class WorkQueue {
 public:
  explicit WorkQueue(std::size_t capacity)
      : capacity_(capacity), queue_(capacity), thread_([this] {
          while (auto work = queue_.pop()) {
            (*work)();
            --waiting_;
          }
        }) {}
  ~WorkQueue() { stop(); }

  /// Finishes what is being done and drops the rest; the same once more is nothing.
  void stop() {
    queue_.stop();
    if (thread_.joinable()) thread_.join();
  }

  /// False where too much waits already.
  bool add(std::function<void()> work) {
    if (++waiting_ > capacity_) {
      --waiting_;
      return false;
    }
    return queue_.push(std::move(work), 1);
  }

 private:
  std::size_t const capacity_;
  BoundedQueue<std::function<void()>> queue_;
  std::atomic<std::size_t> waiting_ = 0;
  std::jthread thread_;
};

}  // namespace windlass
