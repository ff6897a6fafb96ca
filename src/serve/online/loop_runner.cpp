#include "src/serve/online/loop_runner.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace windlass {
namespace {

constexpr int behind_all_clients = 2'000'001;  ///< added to a priority: clients give at most a million
constexpr auto patience = std::chrono::milliseconds(50);

}  // namespace

bool BatchSlots::take() {
  if (--free_ >= 0) return true;
  ++free_;
  return false;
}

/// What has come, until the batch's thread takes it. Lives on while the engine loop has news for it.
class LoopRunner::Inbox final : public AnswerListener {
 public:
  int loop() const override { return 0; }
  void on_delta(ChoiceDelta) override {}
  void on_answer(Answer answer) override {
    std::lock_guard const lock(mutex_);
    answers_.push_back(std::move(answer));
    came_.notify_one();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    came_.wait_for(lock, patience, [this] { return !answers_.empty(); });
  }
  std::vector<Answer> take() {
    std::lock_guard const lock(mutex_);
    return std::exchange(answers_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<Answer> answers_;
};

LoopRunner::LoopRunner(LoopRunnerParts parts) : parts_(std::move(parts)), inbox_(std::make_shared<Inbox>()) {}

LoopRunner::~LoopRunner() {
  for (auto const& [id, open] : open_) {
    parts_.engine.cancel(open.ticket);
    parts_.slots.give_back();
  }
}

void LoopRunner::cancel(RequestId request) {
  std::erase_if(waiting_, [&](Request const& one) { return one.id == request; });
  std::erase_if(open_, [&](auto const& entry) {
    if (entry.second.own != request) return false;
    parts_.engine.cancel(entry.second.ticket);
    parts_.slots.give_back();
    return true;
  });
}

void LoopRunner::step() {
  while (hand_over()) {
  }
  inbox_->wait();
}

/// False where there is nothing to hand over, or no room for it now.
bool LoopRunner::hand_over() {
  if (waiting_.empty() || parts_.engine.draining() || !parts_.slots.take()) return false;
  Request request = waiting_.front();  // kept where the engine refuses it
  Open open{
      .own = request.id, .ticket = {}, .prompt_tokens = std::int64_t(request.prompt.size()), .begun_us = now_us()};
  request.priority += behind_all_clients;
  std::vector<Request> one;
  one.push_back(std::move(request));
  open.ticket = parts_.engine.submit(std::move(one), inbox_, {.user = parts_.user});
  if (open.ticket.submission != Submission::accepted) {
    parts_.slots.give_back();
    return false;
  }
  waiting_.pop_front();
  open_.emplace(open.ticket.first, open);
  return true;
}

std::vector<Answer> LoopRunner::take_answers() {
  std::vector<Answer> own;
  for (Answer& answer : inbox_->take()) {
    auto const at = open_.find(answer.id);
    if (at == open_.end()) continue;  // cancelled
    answer.id = at->second.own;
    if (answer.error.empty())
      parts_.on_end({.prompt_tokens = at->second.prompt_tokens,
                     .seconds = double(now_us() - at->second.begun_us) * 1e-6,
                     .answer = answer});
    open_.erase(at);
    parts_.slots.give_back();
    own.push_back(std::move(answer));
  }
  return own;
}

}  // namespace windlass
