#include "src/policy/fair_turn.hpp"

#include <algorithm>
#include <tuple>

namespace windlass {

std::optional<std::size_t> plan_fair_turn(std::span<WaitingUser const> users) {
  auto const order = [](WaitingUser const& user) {
    return std::tuple(user.priority, user.served_tokens, user.arrival);
  };
  auto const first =
      std::min_element(users.begin(), users.end(), [&](auto const& a, auto const& b) { return order(a) < order(b); });
  if (first == users.end()) return std::nullopt;
  return std::size_t(first - users.begin());
}

std::int64_t served_when_waiting(std::int64_t served_tokens, std::span<WaitingUser const> others) {
  auto const least = std::min_element(others.begin(), others.end(),
                                      [](auto const& a, auto const& b) { return a.served_tokens < b.served_tokens; });
  return least == others.end() ? served_tokens : std::max(served_tokens, least->served_tokens);
}

}  // namespace windlass
