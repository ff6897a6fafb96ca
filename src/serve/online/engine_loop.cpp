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

/// Whether the requests can be done in time, as far as the pace so far tells.
DeadlinePlan EngineLoop::plan(std::span<Request const> requests, Microseconds deadline_us) const {
  DeadlineInput input{.left_us = deadline_us - now_us(), .tokens_ahead = waiting_tokens_};
  for (Request const& request : requests) {
    SamplingParameters const& sampling = request.sampling;
    bool const all = sampling.ignore_eos && sampling.stop.empty() && sampling.stop_token_ids.empty();
    input.prompt_tokens += std::int64_t(request.prompt.size());
    input.least_tokens = std::max<std::int64_t>(input.least_tokens, all ? sampling.max_tokens : sampling.min_tokens);
  }
  {
    std::lock_guard const lock(counters_mutex_);
    input.us_per_prompt_token = pace_.us_per_prompt_token;
    input.us_per_step = Microseconds(pace_.us_per_step);
  }
  auto const plan = plan_deadline(input);
  if (PlanLog* const log = plan_log_) log->add(input, plan);
  return plan;
}

EngineLoop::Ticket EngineLoop::submit(std::vector<Request> requests, std::shared_ptr<AnswerListener> const& listener,
                                      RequestTerms const& terms) {
  if (terms.deadline_us != never_us)
    if (auto const verdict = plan(requests, terms.deadline_us); verdict.verdict == DeadlinePlan::Verdict::too_late)
      return {.submission = Submission::too_late, .retry_us = verdict.retry_us};
  Ticket ticket{.submission = Submission::accepted, .count = requests.size()};
  std::lock_guard const lock(orders_mutex_);
  if (draining_) return {.submission = Submission::draining};
  if (open_count_ + int(requests.size()) > config_.max_open_requests && open_count_ > 0)
    return {.submission = Submission::queue_full};
  open_count_ += int(requests.size());
  ticket.first = RequestId(next_id_.fetch_add(requests.size()));
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].id = RequestId(number(ticket.first) + i);
    waiting_tokens_ += std::int64_t(requests[i].prompt.size());
    new_requests_.push_back({std::move(requests[i]), listener, terms});
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

InstancesView EngineLoop::instances() const {
  std::lock_guard const lock(counters_mutex_);
  return instances_;
}

void EngineLoop::publish(EngineCounters const& counters, InstancesView instances) {
  std::lock_guard const lock(counters_mutex_);
  counters_ = counters;
  instances_ = std::move(instances);
}

int EngineLoop::run(RequestRunner& runner, std::function<bool()> const& drain_wanted) {
  try {
    return run_until_drained(runner, drain_wanted);
  } catch (...) {
    fail_all();
    throw;
  }
}

int EngineLoop::run_until_drained(RequestRunner& runner, std::function<bool()> const& drain_wanted) {
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
    end_overdue(runner);
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
    if (runner.idle() && waiting_.empty() && !draining_)
      orders_came_.wait_for(lock, patience, [&] { return !new_requests_.empty() || !cancelled_.empty(); });
    fresh.swap(new_requests_);
    gone.swap(cancelled_);
  }
  for (NewRequest& next : fresh) {
    open_.emplace(next.request.id, Open{std::move(next.listener), next.terms.user});
    if (next.terms.deadline_us != never_us) deadlines_.emplace(next.terms.deadline_us, next.request.id);
    waiting_.add(next.terms.user, std::move(next.request));
  }
  for (RequestId const id : gone) drop(runner, id);
  feed(runner);
}

/// As many as the engine has room for; the others' turns are decided when there is room again.
void EngineLoop::feed(RequestRunner& runner) {
  if (waiting_.empty()) return;
  EngineCounters const now = runner.counters();
  int const given = int(open_.size()) - int(waiting_.size());  // counters of other ranks are a little old
  for (int held = std::max(now.running + now.waiting, given); held < config_.max_in_engine; ++held) {
    auto next = waiting_.next(plan_log_);
    if (!next) return;
    waiting_tokens_ -= std::int64_t(next->prompt.size());
    runner.submit(std::move(*next));
  }
}

/// Forgets a request, wherever it is; nothing where it has finished.
void EngineLoop::drop(RequestRunner& runner, RequestId request) {
  auto const at = open_.find(request);
  if (at == open_.end()) return;
  if (auto const waited = waiting_.take(request))
    waiting_tokens_ -= std::int64_t(waited->prompt.size());
  else
    runner.cancel(request);
  open_.erase(at);
  --open_count_;
}

/// Ends requests whose deadline is over.
void EngineLoop::end_overdue(RequestRunner& runner) {
  bool any = false;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_us()) {
    RequestId const id = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    if (!open_.contains(id)) continue;
    Answer late{.id = id, .error = "the request's deadline is over (deadline_ms)"};
    late.error_is_input = false;
    add_news(id, std::move(late));
    drop(runner, id);
    any = true;
  }
  if (any) deliver();
}

void EngineLoop::hand_out(RequestRunner& runner) {
  for (ChoiceDelta& delta : runner.take_deltas()) {
    RequestId const id = delta.id;
    add_news(id, std::move(delta));
  }
  for (Answer& answer : runner.take_answers()) {
    RequestId const id = answer.id;
    if (auto const at = open_.find(id); at != open_.end())
      for (Choice const& choice : answer.choices) waiting_.charge(at->second.user, std::int64_t(choice.tokens.size()));
    add_news(id, std::move(answer));
    if (open_.erase(id) > 0) --open_count_;
  }
  EngineCounters const now = runner.counters();
  measure(now);
  publish(now, runner.instances());  // before anyone can have the answers that they count
  deliver();
}

/// What the last step tells of the pace: one with a long prompt part, or one without any.
void EngineLoop::measure(EngineCounters const& now) {
  constexpr double weight = 0.2;
  constexpr std::int64_t telling_tokens = 64;
  std::lock_guard const lock(counters_mutex_);
  auto const busy_us = double(now.busy_us - counters_.busy_us);
  std::int64_t const prompt = now.prompt_tokens - counters_.prompt_tokens, steps = now.steps - counters_.steps;
  auto const learn = [&](double& value, double seen) { value = value == 0 ? seen : value + weight * (seen - value); };
  if (prompt >= telling_tokens) learn(pace_.us_per_prompt_token, busy_us / double(prompt));
  if (prompt == 0 && steps > 0) learn(pace_.us_per_step, busy_us / double(steps));
}

void EngineLoop::add_news(RequestId request, std::variant<ChoiceDelta, Answer> what) {
  auto const at = open_.find(request);
  if (at == open_.end()) return;  // cancelled
  outgoing_[std::size_t(at->second.listener->loop())].emplace_back(at->second.listener, std::move(what));
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
  for (auto const& [id, open] : open_)
    if (!waiting_.take(id)) runner.cancel(id);
  runner.step();  // its pages are free now
  return end_all("the server ends, and its drain time is over; ask again elsewhere");
}

/// The engine is no more: nobody waits for it any longer.
void EngineLoop::fail_all() {
  {
    std::lock_guard const lock(orders_mutex_);
    draining_ = true;
    for (NewRequest& next : new_requests_) open_.emplace(next.request.id, Open{std::move(next.listener), ""});
    new_requests_.clear();
  }
  end_all("the engine has failed; ask again elsewhere");
}

int EngineLoop::end_all(char const* why) {
  int const left = int(open_.size());
  for (auto const& [id, open] : open_) {
    Answer answer{.id = id, .error = why};
    answer.error_is_input = false;
    outgoing_[std::size_t(open.listener->loop())].emplace_back(open.listener, std::move(answer));
  }
  open_count_ -= left;
  open_.clear();
  deliver();
  return left;
}

}  // namespace windlass
