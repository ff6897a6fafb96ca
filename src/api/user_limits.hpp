/// How much a user may ask for, and has asked for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "src/core/clock.hpp"

namespace windlass {

struct UserLimits {
  std::optional<int> requests_per_minute;  ///< as many at once, then one per 60 s / limit
  std::optional<int> tokens_per_minute;    ///< prompt and generated; what a request used too much, later ones wait for
  std::optional<int> concurrent_requests;
  bool operator==(UserLimits const&) const = default;
};

/// A store that fills up at a rate; the debt of what was taken too much comes off first.
class TokenBucket {
 public:
  explicit TokenBucket(int per_minute) : per_minute_(per_minute), held_(per_minute) {}
  /// How long until `amount` is there; 0 if it is.
  Microseconds wait_us(double amount, Microseconds now);
  void take(double amount, Microseconds now);

 private:
  void fill(Microseconds now);
  double per_minute_, held_;
  Microseconds filled_us_ = 0;
};

/// Why a request may not begin now.
struct LimitRefusal {
  std::string message;
  int retry_seconds = 1;
};

/// Counts of every user. Safe from any thread; must outlive the visits.
class UserAccounts {
 public:
  /// A request that runs; ends with the object.
  class Visit {
   public:
    Visit(UserAccounts& accounts, std::string user) : accounts_(accounts), user_(std::move(user)) {}
    ~Visit() { accounts_.leave(user_); }
    Visit(Visit const&) = delete;
    Visit& operator=(Visit const&) = delete;
    void use_tokens(std::int64_t count) { accounts_.charge(user_, count, now_us()); }

   private:
    UserAccounts& accounts_;
    std::string user_;
  };
  struct Admission {
    std::unique_ptr<Visit> visit;         ///< set where the request may begin
    std::optional<LimitRefusal> refusal;  ///< set where it may not
  };
  Admission enter(std::string const& user, UserLimits const& limits, Microseconds now);

 private:
  struct Account {
    UserLimits limits;
    std::optional<TokenBucket> requests, tokens;
    int running = 0;
  };
  void leave(std::string const& user);
  void charge(std::string const& user, std::int64_t tokens, Microseconds now);
  static std::optional<LimitRefusal> refusal(Account& account, Microseconds now);

  std::mutex mutex_;
  std::map<std::string, Account> accounts_;
};

}  // namespace windlass
