/// Requests that wait for a place in the engine, shared out between users.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "src/engine/request.hpp"
#include "src/policy/plan_log.hpp"

namespace windlass {

/// Local; one thread calls it.
class FairQueue {
 public:
  void add(std::string const& user, Request request);
  /// The next one's turn: src/policy/fair_turn, whose answers `plan_log` gets if it is not null. Its prompt is charged
  /// to its user.
  std::optional<Request> next(PlanLog* plan_log = nullptr);
  /// Tokens that a user was given.
  void charge(std::string const& user, std::int64_t tokens) { users_[user].served_tokens += tokens; }
  /// Its request, taken out; nothing where it does not wait here.
  std::optional<Request> take(RequestId request);
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

 private:
  struct Waiting {
    std::uint64_t arrival = 0;
    Request request;
  };
  struct User {
    std::int64_t served_tokens = 0;
    std::deque<Waiting> waiting;  ///< by priority, then by arrival
  };

  std::map<std::string, User> users_;
  std::int64_t last_served_tokens_ = 0;  ///< of the user whose turn was the last
  std::uint64_t next_arrival_ = 0;
  std::size_t size_ = 0;
};

}  // namespace windlass
