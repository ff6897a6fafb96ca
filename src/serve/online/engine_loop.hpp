/// The engine's thread in a server: takes requests from other threads, steps, hands back what came of them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <variant>
#include <vector>

#include "src/core/clock.hpp"
#include "src/policy/deadline.hpp"
#include "src/policy/plan_log.hpp"
#include "src/serve/online/fair_queue.hpp"
#include "src/serve/request_runner.hpp"

namespace windlass {

/// Whoever asked for an answer. Called on the thread of its loop, in the engine's order.
class AnswerListener {
 public:
  virtual ~AnswerListener() = default;
  virtual int loop() const = 0;
  virtual void on_delta(ChoiceDelta delta) = 0;
  virtual void on_answer(Answer answer) = 0;
};

enum class Submission : std::uint8_t { accepted, queue_full, too_late, draining };

/// Whose requests they are, and when they must be done.
struct RequestTerms {
  std::string user;
  Microseconds deadline_us = never_us;
};

struct EngineLoopConfig {
  int max_in_engine = 1024;              ///< sequences that it holds; what waits behind them is shared out fairly
  int max_open_requests = 1024;          ///< prompts that run or wait; more are refused
  std::size_t max_waiting_news = 65536;  ///< for a loop; the engine waits where it falls that far behind
  int loops = 1;                         ///< threads that listeners belong to
  Microseconds drain_us = 30'000'000;
};

/// What a loop's thread shall do; HttpServer::post.
using PostToLoop = std::function<void(int loop, std::function<void()> work)>;

class EngineLoop {
 public:
  EngineLoop(EngineLoopConfig const& config, PostToLoop post);

  /// Calls the runner until a drain is over. Called once, by the thread that owns the engine. Listeners of requests
  /// that were cut off get an answer with an error. Returns how many those were.
  int run(RequestRunner& runner, std::function<bool()> const& drain_wanted);

  // Safe from any thread.
  struct Ticket {
    Submission submission = Submission::draining;
    RequestId first{};  ///< the requests have this id and the following ones
    std::size_t count = 0;
    Microseconds retry_us = 0;  ///< where it is too late: after so long it may be possible
  };
  Ticket submit(std::vector<Request> requests, std::shared_ptr<AnswerListener> const& listener,
                RequestTerms const& terms = {});
  void cancel(Ticket const& ticket);
  bool draining() const { return draining_; }
  int open_requests() const { return open_count_; }
  EngineCounters counters() const;  ///< as of the last step
  InstancesView instances() const;  ///< the same
  void publish(EngineCounters const& counters, InstancesView instances);
  /// Gets every turn and every look at a deadline from now on; outlives the loop. Null: nobody does.
  void record(PlanLog* plan_log) { plan_log_ = plan_log; }

 private:
  using News = std::pair<std::shared_ptr<AnswerListener>, std::variant<ChoiceDelta, Answer>>;
  /// News on their way to one loop.
  struct Mailbox {
    std::mutex mutex;
    std::condition_variable room;
    std::vector<News> news;
    bool posted = false;
  };
  struct NewRequest {
    Request request;
    std::shared_ptr<AnswerListener> listener;
    RequestTerms terms;
  };
  struct Open {
    std::shared_ptr<AnswerListener> listener;
    std::string user;
  };
  /// How long things take, as measured lately; 0: not known.
  struct Pace {
    double us_per_prompt_token = 0, us_per_step = 0;
  };

  DeadlinePlan plan(std::span<Request const> requests, Microseconds deadline_us) const;
  void take_orders(RequestRunner& runner);
  void feed(RequestRunner& runner);
  void drop(RequestRunner& runner, RequestId request);
  void end_overdue(RequestRunner& runner);
  void measure(EngineCounters const& now);
  void hand_out(RequestRunner& runner);
  void add_news(RequestId request, std::variant<ChoiceDelta, Answer> what);
  void deliver();
  void read_mail(Mailbox& mailbox);
  int run_until_drained(RequestRunner& runner, std::function<bool()> const& drain_wanted);
  int cut_off(RequestRunner& runner);
  void fail_all();
  int end_all(char const* why);

  EngineLoopConfig const config_;
  PostToLoop post_;
  std::atomic<PlanLog*> plan_log_ = nullptr;

  std::mutex orders_mutex_;
  std::condition_variable orders_came_;
  std::vector<NewRequest> new_requests_;
  std::vector<RequestId> cancelled_;
  std::atomic<bool> draining_ = false;
  std::atomic<int> open_count_ = 0;
  std::atomic<std::uint64_t> next_id_ = 1;

  // The engine's thread only.
  std::unordered_map<RequestId, Open> open_;
  FairQueue waiting_;
  std::multimap<Microseconds, RequestId> deadlines_;
  std::vector<std::vector<News>> outgoing_;          ///< [loops], of this step
  std::vector<std::unique_ptr<Mailbox>> mailboxes_;  ///< [loops]

  std::atomic<std::int64_t> waiting_tokens_ = 0;  ///< of prompts that the engine has not got yet
  mutable std::mutex counters_mutex_;
  EngineCounters counters_;
  InstancesView instances_;
  Pace pace_;
};

}  // namespace windlass
