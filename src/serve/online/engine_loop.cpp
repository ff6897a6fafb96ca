#include "src/serve/online/engine_loop.hpp"

#include <chrono>

#include "src/core/log.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr auto patience = std::chrono::milliseconds(50);  ///< of an idle engine; then it looks for signals

}  // namespace

EngineLoop::EngineLoop(EngineLoopConfig const& config, PostToLoop post)
    : config_(config), post_(std::move(post)), outgoing_(std::size_t(config.loops)) {
  for (int i = 0; i < config_.loops; ++i) mailboxes_.push_back(std::make_unique<Mailbox>());
}

EngineLoop::Ticket EngineLoop::submit(std::vector<Request> requests, std::shared_ptr<AnswerListener> const& listener) {
  Ticket ticket{.submission = Submission::accepted, .count = requests.size()};
  std::lock_guard const lock(orders_mutex_);
  if (draining_) return {.submission = Submission::draining};
  if (open_count_ + int(requests.size()) > config_.max_open_requests && open_count_ > 0)
    return {.submission = Submission::queue_full};
  open_count_ += int(requests.size());
  ticket.first = RequestId(next_id_.fetch_add(requests.size()));
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].id = RequestId(number(ticket.first) + i);
    new_requests_.push_back({std::move(requests[i]), listener});
  }
  orders_came_.notify_one();
  return ticket;
}

void EngineLoop::cancel(Ticket const& ticket) {
  std::lock_guard const lock(orders_mutex_);
  for (std::size_t i = 0; i < ticket.count; ++i) cancelled_.push_back(RequestId(number(ticket.first) + i));
  orders_came_.notify_one();
}

EngineCounters EngineLoop::counters() const {
  std::lock_guard const lock(counters_mutex_);
  return counters_;
}

void EngineLoop::publish(EngineCounters const& counters) {
  std::lock_guard const lock(counters_mutex_);
  counters_ = counters;
}

int EngineLoop::run(RequestRunner& runner, std::function<bool()> const& drain_wanted) {
  Microseconds deadline_us = never_us;
  for (;;) {
    if (deadline_us == never_us && drain_wanted()) {
      std::lock_guard const lock(orders_mutex_);
      draining_ = true;
      deadline_us = now_us() + config_.drain_us;
      log_info(
          text("draining: finishing ", open_count_.load(), " requests, at most ", config_.drain_us / 1'000'000, " s"));
    }
    take_orders(runner);
    if (deadline_us != never_us && (open_.empty() || now_us() >= deadline_us)) break;
    runner.step();
    hand_out(runner);
  }
  return cut_off(runner);
}

/// Gives new and cancelled requests to the runner; waits a while where there is nothing to do.
void EngineLoop::take_orders(RequestRunner& runner) {
  std::vector<NewRequest> fresh;
  std::vector<RequestId> gone;
  {
    std::unique_lock lock(orders_mutex_);
    if (runner.idle() && !draining_)
      orders_came_.wait_for(lock, patience, [&] { return !new_requests_.empty() || !cancelled_.empty(); });
    fresh.swap(new_requests_);
    gone.swap(cancelled_);
  }
  for (NewRequest& next : fresh) {
    open_.emplace(next.request.id, std::move(next.listener));
    runner.submit(std::move(next.request));
  }
  for (RequestId const id : gone) {
    if (open_.erase(id) == 0) continue;  // finished meanwhile
    --open_count_;
    runner.cancel(id);
  }
}

void EngineLoop::hand_out(RequestRunner& runner) {
  for (ChoiceDelta& delta : runner.take_deltas()) {
    RequestId const id = delta.id;
    add_news(id, std::move(delta));
  }
  for (Answer& answer : runner.take_answers()) {
    RequestId const id = answer.id;
    add_news(id, std::move(answer));
    if (open_.erase(id) > 0) --open_count_;
  }
  publish(runner.counters());  // before anyone can have the answers that they count
  deliver();
}

void EngineLoop::add_news(RequestId request, std::variant<ChoiceDelta, Answer> what) {
  auto const at = open_.find(request);
  if (at == open_.end()) return;  // cancelled
  outgoing_[std::size_t(at->second->loop())].emplace_back(at->second, std::move(what));
}

/// Moves this step's news into the mailboxes; one call of post_ per loop, however many there are.
void EngineLoop::deliver() {
  for (std::size_t loop = 0; loop < outgoing_.size(); ++loop) {
    if (outgoing_[loop].empty()) continue;
    Mailbox& mailbox = *mailboxes_[loop];
    bool post = false;
    {
      std::unique_lock lock(mailbox.mutex);
      mailbox.room.wait(lock, [&] { return mailbox.news.size() < config_.max_waiting_news; });
      mailbox.news.insert(mailbox.news.end(), std::make_move_iterator(outgoing_[loop].begin()),
                          std::make_move_iterator(outgoing_[loop].end()));
      post = !std::exchange(mailbox.posted, true);
    }
    outgoing_[loop].clear();
    if (post) post_(int(loop), [this, &mailbox] { read_mail(mailbox); });
  }
}

void EngineLoop::read_mail(Mailbox& mailbox) {
  std::vector<News> news;
  {
    std::lock_guard const lock(mailbox.mutex);
    news.swap(mailbox.news);
    mailbox.posted = false;
    mailbox.room.notify_one();
  }
  for (auto& [listener, what] : news) {
    if (auto* const delta = std::get_if<ChoiceDelta>(&what))
      listener->on_delta(std::move(*delta));
    else
      listener->on_answer(std::move(std::get<Answer>(what)));
  }
}

/// Ends what a drain's deadline has left.
int EngineLoop::cut_off(RequestRunner& runner) {
  int const left = int(open_.size());
  for (auto const& [id, listener] : open_) {
    runner.cancel(id);
    Answer answer{.id = id, .error = "the server ends, and its drain time is over; ask again elsewhere"};
    answer.error_is_input = false;
    outgoing_[std::size_t(listener->loop())].emplace_back(listener, std::move(answer));
  }
  open_count_ -= left;
  open_.clear();
  runner.step();  // its pages are free now
  deliver();
  return left;
}

}  // namespace windlass
