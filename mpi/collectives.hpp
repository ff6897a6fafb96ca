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
  std::vector<int> world_ranks;  ///< [stages][tp], the leader first
  int instance_rank = 0;         ///< index of this rank
  InstanceReach reach = InstanceReach::one_host;
  std::uint64_t job_epoch = 0;
  int stages = 1;
  InstanceReach stage_reach = InstanceReach::one_host;  ///< of the ranks of this rank's stage
  int most_stages = 1;                                  ///< of any instance of the job; the same on all ranks
};

/// Collective over the job, at its start: memory where an instance is on one host and /dev/shm has room, else messages;
/// the same for each stage. A rank alone gets a LocalCollective, without MPI too.
std::unique_ptr<Collective> make_collective(InstanceRanks const& own);

}  // namespace windlass
