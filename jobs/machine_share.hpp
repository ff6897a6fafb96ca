/// A batch's speed next to what the same machine can do.
#pragma once

#include <cstdint>
#include <optional>

#include "src/core/thread_team.hpp"
#include "src/engine/engine.hpp"
#include "src/serve/report.hpp"

namespace windlass {

/// Measures the team's read bandwidth on a buffer as large as the weights (1 GiB at most) and sets beside it what the
/// engine's steps read of the weights. Takes some tens of milliseconds, and that memory. Nothing where no step ran.
std::optional<MachineShare> measure_machine_share(EngineCounters const& counters, std::uint64_t weight_bytes,
                                                  ThreadTeam& team);

}  // namespace windlass
