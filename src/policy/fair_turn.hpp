/// Whose request starts next where several users wait.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace windlass {

/// A user with waiting requests.
struct WaitingUser {
  int priority = 0;                ///< of their first waiting request; lower ones go first
  std::int64_t served_tokens = 0;  ///< what they have had, on the common scale of served_when_waiting()
  std::uint64_t arrival = 0;       ///< of that request; rises
};

/// Index of the user: the lowest priority number, then who has had the fewest tokens, then who came first. Nothing
/// where nobody waits. (Counting what each has had: Sheng et al. 2024, "Fairness in Serving Large Language Models".)
std::optional<std::size_t> plan_fair_turn(std::span<WaitingUser const> users);

/// A user who comes back gets no credit for having been away: at least what the least served of the waiting has had.
std::int64_t served_when_waiting(std::int64_t served_tokens, std::span<WaitingUser const> others);

}  // namespace windlass
