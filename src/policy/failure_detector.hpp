/// Which ranks have been silent for too long.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "src/core/clock.hpp"

namespace windlass {

struct FailureRule {
  Microseconds silence_us = 10'000'000;  ///< after which a rank is lost
  Microseconds jump_us = 1'000'000;      ///< a longer time between two looks: the looker itself stood still
};

struct FailureInput {
  Microseconds now_us = 0;
  Microseconds last_look_us = 0;           ///< now_us of the look before; 0: the first one
  Microseconds grace_until_us = 0;         ///< of the plan before; 0: the first one
  std::span<Microseconds const> heard_us;  ///< [ranks] when each was last heard
  FailureRule rule;
};

struct FailurePlan {
  std::vector<std::size_t> lost;    ///< ranks, rising
  Microseconds grace_until_us = 0;  ///< passed to the next look: nobody is lost before
};

/// A rank is lost once it has been silent for silence_us. Whoever finds that its own clock jumped (the whole job was
/// stopped and continued, or it was not scheduled) gives everybody a whole silence_us anew before it judges: what the
/// others sent meanwhile still has to arrive. Local, pure, no errors.
FailurePlan plan_failures(FailureInput const& in);

}  // namespace windlass
