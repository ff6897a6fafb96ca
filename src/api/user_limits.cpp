#include "src/api/user_limits.hpp"

#include <algorithm>
#include <cmath>

#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr double minute_us = 60e6;

int seconds_of(Microseconds us) { return std::max(1, int(std::ceil(double(us) * 1e-6))); }

}  // namespace

void TokenBucket::fill(Microseconds now) {
  if (filled_us_ > 0) held_ = std::min(per_minute_, held_ + per_minute_ * double(now - filled_us_) / minute_us);
  filled_us_ = now;
}

Microseconds TokenBucket::wait_us(double amount, Microseconds now) {
  fill(now);
  return held_ >= amount ? 0 : Microseconds((amount - held_) / per_minute_ * minute_us);
}

void TokenBucket::take(double amount, Microseconds now) {
  fill(now);
  held_ -= amount;
}

std::optional<LimitRefusal> UserAccounts::refusal(Account& account, Microseconds now) {
  UserLimits const& limits = account.limits;
  if (limits.concurrent_requests && account.running >= *limits.concurrent_requests)
    return LimitRefusal{.message = text("this key may have ", *limits.concurrent_requests, " requests at once")};
  if (account.requests)
    if (auto const wait = account.requests->wait_us(1, now); wait > 0)
      return LimitRefusal{.message = text("this key may ask ", *limits.requests_per_minute, " times per minute"),
                          .retry_seconds = seconds_of(wait)};
  if (account.tokens)
    if (auto const wait = account.tokens->wait_us(1, now); wait > 0)
      return LimitRefusal{.message = text("this key may use ", *limits.tokens_per_minute, " tokens per minute"),
                          .retry_seconds = seconds_of(wait)};
  return std::nullopt;
}

UserAccounts::Admission UserAccounts::enter(std::string const& user, UserLimits const& limits, Microseconds now) {
  std::lock_guard const lock(mutex_);
  Account& account = accounts_[user];
  if (account.limits != limits) {  // new, or the key file was read again
    account.limits = limits;
    account.requests.reset();
    account.tokens.reset();
    if (limits.requests_per_minute) account.requests.emplace(*limits.requests_per_minute);
    if (limits.tokens_per_minute) account.tokens.emplace(*limits.tokens_per_minute);
  }
  if (auto why = refusal(account, now)) return {.refusal = std::move(why)};
  if (account.requests) account.requests->take(1, now);
  ++account.running;
  return {.visit = std::make_unique<Visit>(*this, user)};
}

void UserAccounts::leave(std::string const& user) {
  std::lock_guard const lock(mutex_);
  --accounts_[user].running;
}

void UserAccounts::charge(std::string const& user, std::int64_t tokens, Microseconds now) {
  std::lock_guard const lock(mutex_);
  if (auto& bucket = accounts_[user].tokens) bucket->take(double(tokens), now);
}

}  // namespace windlass
