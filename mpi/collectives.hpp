/// How the ranks of each instance of the job exchange.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "src/core/collective.hpp"

namespace windlass {

enum class InstanceReach : unsigned char { one_host, several_hosts };

/// The instance of this rank; no ranks: none.
struct InstanceRanks {
  std::vector<int> world_ranks;  ///< the leader first
  int instance_rank = 0;         ///< index of this rank
  InstanceReach reach = InstanceReach::one_host;
  std::uint64_t job_epoch = 0;
};

/// Collective over the job, at its start: memory where an instance is on one host and /dev/shm has room, else messages.
/// A rank alone gets a LocalCollective, without MPI too.
std::unique_ptr<Collective> make_collective(InstanceRanks const& own);

}  // namespace windlass
