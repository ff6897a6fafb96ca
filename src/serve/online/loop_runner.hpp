/// A batch's requests among those of the server's clients: they run where these leave room.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "src/serve/online/engine_loop.hpp"
#include "src/serve/request_runner.hpp"

namespace windlass {

/// How many requests of all batches together the engine may have. Safe from any thread.
class BatchSlots {
 public:
  explicit BatchSlots(int count) : free_(count) {}
  bool take();
  void give_back() { ++free_; }

 private:
  std::atomic<int> free_;
};

/// One finished request of a batch.
struct BatchRequestEnd {
  std::int64_t prompt_tokens = 0;
  double seconds = 0;  ///< from when the engine got it
  Answer const& answer;
};

struct LoopRunnerParts {
  EngineLoop& engine;
  BatchSlots& slots;
  std::string user;
  std::function<void(BatchRequestEnd const& end)> on_end;  ///< for the accounts; on the thread of the batch
};

/// Hands requests to the engine's thread, behind all that clients ask for. One thread calls it. What is open when this
/// goes is cancelled.
class LoopRunner final : public RequestRunner {
 public:
  explicit LoopRunner(LoopRunnerParts parts);
  ~LoopRunner() override;
  LoopRunner(LoopRunner const&) = delete;
  LoopRunner& operator=(LoopRunner const&) = delete;

  void submit(Request request) override { waiting_.push_back(std::move(request)); }
  void cancel(RequestId request) override;
  bool idle() const override { return waiting_.empty() && open_.empty(); }
  /// Waits up to 50 ms for answers.
  void step() override;
  std::vector<Answer> take_answers() override;
  EngineCounters counters() const override { return parts_.engine.counters(); }

 private:
  class Inbox;
  struct Open {
    RequestId own{};
    EngineLoop::Ticket ticket;
    std::int64_t prompt_tokens = 0;
    Microseconds begun_us = 0;
  };
  bool hand_over();

  LoopRunnerParts parts_;
  std::deque<Request> waiting_;
  std::unordered_map<RequestId, Open> open_;  ///< by the engine loop's id
  std::shared_ptr<Inbox> inbox_;
};

}  // namespace windlass
