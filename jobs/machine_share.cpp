#include "jobs/machine_share.hpp"

#include <algorithm>

#include "kernels/peak_rates.hpp"

namespace windlass {
namespace {

constexpr std::uint64_t most_buffer_bytes = std::uint64_t{1} << 30;

}  // namespace

std::optional<MachineShare> measure_machine_share(EngineCounters const& counters, std::uint64_t weight_bytes,
                                                  ThreadTeam& team) {
  if (counters.steps == 0 || counters.busy_us <= 0) return std::nullopt;
  LimitBuffer const buffer(std::size_t(std::min(weight_bytes, most_buffer_bytes)), team);
  double const busy_seconds = double(counters.busy_us) * 1e-6;
  return MachineShare{.read_gb_per_s = measure_read(buffer, team).median,
                      .weights_gb_per_s = double(weight_bytes) * double(counters.steps) / busy_seconds * 1e-9};
}

}  // namespace windlass
