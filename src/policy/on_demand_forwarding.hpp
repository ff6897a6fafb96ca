/// Which prefill instances a waiting request knocks at, and when it gives up (P/D-Serve's gateway).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "src/core/clock.hpp"

namespace windlass {

struct ForwardingTarget {
  std::int64_t open_connections;
  std::int64_t cached_tokens;  ///< of this request's prompt
};

struct ForwardingInput {
  std::span<ForwardingTarget const> targets;  ///< of the request's group
  Microseconds now_us, deadline_us;           ///< of the first token
  Microseconds prefill_us;                    ///< estimate for this prompt
  Microseconds backoff_us;                    ///< after a round in which all were busy
};

enum class ForwardingStop : std::uint8_t { try_in_order, too_late, no_target };

struct ForwardingPlan {
  std::vector<std::size_t> order;  ///< instances accept by being idle, not by an estimate
  Microseconds retry_us;           ///< when to ask again if none accepts
  ForwardingStop stop;
};

/// Instances that hold more of the prefix first, then those with fewer open connections; none once the prompt could
/// not be done before the deadline. Local, pure, no errors. Source: P/D-Serve, on-demand forwarding.
ForwardingPlan plan_forwarding(ForwardingInput const& in);

}  // namespace windlass
