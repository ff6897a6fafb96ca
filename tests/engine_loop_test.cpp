// The engine's thread in a server, with a runner that answers at once.
#include "src/serve/online/engine_loop.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <future>
#include <set>
#include <thread>

namespace windlass {
namespace {

/// A token a step for every request; forgets what is cancelled.
class FakeRunner final : public RequestRunner {
 public:
  void submit(Request request) override { open_.push_back({std::move(request), 0}); }
  void cancel(RequestId request) override {
    std::erase_if(open_, [&](auto const& entry) { return entry.first.id == request; });
  }
  bool idle() const override { return open_.empty(); }
  void step() override {
    for (auto& [request, tokens] : open_) {
      bool const last = ++tokens == request.sampling.max_tokens;
      deltas_.push_back({.id = request.id, .tokens = {TokenId(std::uint32_t(tokens))}});
      if (last) answers_.push_back({.id = request.id});
    }
    std::erase_if(open_, [](auto const& entry) { return entry.second == entry.first.sampling.max_tokens; });
  }
  std::vector<Answer> take_answers() override { return std::exchange(answers_, {}); }
  std::vector<ChoiceDelta> take_deltas() override { return std::exchange(deltas_, {}); }
  EngineCounters counters() const override { return {.running = int(open_.size())}; }

 private:
  std::vector<std::pair<Request, int>> open_;
  std::vector<ChoiceDelta> deltas_;
  std::vector<Answer> answers_;
};

/// Two loops that do what they are given in the test's thread, and the engine's thread.
class EngineLoopTest : public testing::Test {
 protected:
  explicit EngineLoopTest(EngineLoopConfig config = {.max_open_requests = 4, .loops = 2, .drain_us = 0})
      : loop_(config, [this](int loop, std::function<void()> work) {
          std::lock_guard const lock(mutex_);
          EXPECT_LT(loop, 2);
          posted_.push_back(std::move(work));
        }) {}
  void start() {
    cut_off_ = std::async(std::launch::async, [this] { return loop_.run(runner_, [this] { return drain_.load(); }); });
  }
  int finish() {
    drain_ = true;
    int const count = cut_off_.get();
    read();
    return count;
  }
  void read() {
    for (;;) {
      std::function<void()> work;
      {
        std::lock_guard const lock(mutex_);
        if (posted_.empty()) return;
        work = std::move(posted_.front());
        posted_.pop_front();
      }
      work();
    }
  }
  template <class Holds>
  void read_until(Holds const& holds) {
    while (!holds()) {
      read();
      std::this_thread::yield();
    }
  }

  struct Listener final : AnswerListener {
    explicit Listener(int the_loop = 0) : own_loop(the_loop) {}
    int loop() const override { return own_loop; }
    void on_delta(ChoiceDelta delta) override { tokens.push_back(int(number(delta.tokens.at(0)))); }
    void on_answer(Answer answer) override {
      ended.insert(number(answer.id));
      errors += !answer.error.empty();
    }
    int own_loop, errors = 0;
    std::vector<int> tokens;
    std::set<std::uint64_t> ended;
  };
  static std::vector<Request> requests(int count, int tokens) {
    std::vector<Request> all(static_cast<std::size_t>(count));
    for (Request& one : all) one.sampling.max_tokens = tokens;
    return all;
  }

  FakeRunner runner_;
  std::mutex mutex_;
  std::deque<std::function<void()>> posted_;
  std::atomic<bool> drain_ = false;
  EngineLoop loop_;
  std::future<int> cut_off_;
};

TEST_F(EngineLoopTest, HandsOutTokensInOrderAndTheAnswerBehindThem) {
  auto const listener = std::make_shared<Listener>(1);
  start();

  auto const ticket = loop_.submit(requests(2, 3), listener);
  read_until([&] { return listener->ended.size() == 2; });

  EXPECT_EQ(int(ticket.submission), int(Submission::accepted));
  EXPECT_EQ(listener->ended, (std::set{number(ticket.first), number(ticket.first) + 1}));
  EXPECT_EQ(listener->tokens, (std::vector{1, 1, 2, 2, 3, 3}));
  EXPECT_EQ(finish(), 0);
  EXPECT_EQ(loop_.open_requests(), 0);
}

TEST_F(EngineLoopTest, RefusesMoreThanItMayHaveOpen) {
  auto const listener = std::make_shared<Listener>();

  auto const first = loop_.submit(requests(4, 1), listener), second = loop_.submit(requests(1, 1), listener);

  EXPECT_EQ(int(first.submission), int(Submission::accepted));
  EXPECT_EQ(int(second.submission), int(Submission::queue_full));
}

TEST_F(EngineLoopTest, ACancelledRequestIsForgotten) {
  auto const listener = std::make_shared<Listener>();
  start();
  auto const ticket = loop_.submit(requests(2, 1'000'000'000), listener);
  read_until([&] { return !listener->tokens.empty(); });

  loop_.cancel(ticket);
  read_until([&] { return loop_.open_requests() == 0 && loop_.counters().running == 0; });

  EXPECT_TRUE(listener->ended.empty());
  EXPECT_EQ(finish(), 0);
}

TEST_F(EngineLoopTest, ADrainWhoseTimeIsOverEndsRequestsWithAnError) {
  auto const listener = std::make_shared<Listener>();
  start();
  loop_.submit(requests(3, 1'000'000'000), listener);
  read_until([&] { return !listener->tokens.empty(); });

  int const cut_off = finish();

  EXPECT_EQ(cut_off, 3);
  EXPECT_EQ(listener->errors, 3);
  EXPECT_EQ(int(loop_.submit(requests(1, 1), listener).submission), int(Submission::draining));
  EXPECT_TRUE(runner_.idle());
}

/// An engine that holds one request at a time.
class FairEngineLoop : public EngineLoopTest {
 protected:
  FairEngineLoop() : EngineLoopTest({.max_in_engine = 1, .max_open_requests = 100, .loops = 2, .drain_us = 0}) {}

  struct Order final : AnswerListener {
    Order(std::vector<std::string>& the_ended, std::string the_name) : ended(the_ended), name(std::move(the_name)) {}
    int loop() const override { return 0; }
    void on_delta(ChoiceDelta) override {}
    void on_answer(Answer answer) override { ended.push_back(answer.error.empty() ? name : "late " + name); }
    std::vector<std::string>& ended;
    std::string name;
  };
  struct Wanted {
    int priority = 0, tokens = 1;
    Microseconds deadline_us = never_us;
  };
  void submit(std::string const& name, Wanted const& wanted) {
    auto asked = requests(1, wanted.tokens);
    asked[0].prompt.resize(10);
    asked[0].priority = wanted.priority;
    loop_.submit(std::move(asked), std::make_shared<Order>(ended_, name),
                 {.user = name.substr(0, 1), .deadline_us = wanted.deadline_us});
  }

  std::vector<std::string> ended_;
};

TEST_F(FairEngineLoop, UsersTakeTurnsAndPrioritiesGoFirst) {
  for (char const* const name : {"a1", "a2", "a3", "a4", "b1", "c1", "b2"}) submit(name, {});
  submit("a5", {.priority = -1});

  start();
  read_until([&] { return ended_.size() == 8; });

  EXPECT_EQ(ended_, (std::vector<std::string>{"a5", "b1", "c1", "a1", "b2", "a2", "a3", "a4"}));
  EXPECT_EQ(finish(), 0);
}

TEST_F(FairEngineLoop, WhatIsOverdueEndsWithAnErrorWhereverItIs) {
  Microseconds const soon_us = now_us() + 300'000;
  submit("a1", {.tokens = 1'000'000'000, .deadline_us = soon_us});  // fills the engine
  submit("b1", {.priority = 5, .deadline_us = soon_us});
  submit("c1", {.priority = 9});

  start();
  read_until([&] { return ended_.size() == 3; });

  EXPECT_EQ(ended_, (std::vector<std::string>{"late a1", "late b1", "c1"}));
  EXPECT_EQ(finish(), 0);
  EXPECT_EQ(loop_.open_requests(), 0);
}

TEST_F(FairEngineLoop, ADeadlineThatIsOverIsRefused) {
  auto const ticket = loop_.submit(requests(1, 1), std::make_shared<Listener>(), {.deadline_us = now_us() - 1});

  EXPECT_EQ(int(ticket.submission), int(Submission::too_late));
}

}  // namespace
}  // namespace windlass
