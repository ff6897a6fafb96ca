/// The hosts of all ranks of a job.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "mpi/host_map.hpp"

namespace windlass {

class MpiJob;

struct JobMap {
  std::vector<HostMap> ranks;      ///< [world ranks]: what each one may use
  std::vector<std::string> hosts;  ///< each name once, in the order of the ranks
  std::vector<int> host_of;        ///< [world ranks]: index into `hosts`

  int ranks_on(int host) const;
  bool fast_fabric() const;  ///< every host has a fabric card
};

/// Sorts the ranks by host.
JobMap make_job_map(std::vector<HostMap> ranks);

/// Collective over the job: every rank gets every rank's map. Without MPI the map of this process alone.
JobMap gather_job_map(MpiJob const& job, HostMap const& own);

/// On the wire. decode throws WireError.
std::vector<std::byte> encode_host_map(HostMap const& map);
HostMap decode_host_map(std::span<std::byte const> bytes);

/// The cores of one rank where `sharers` ranks have the same mask: equal, contiguous shares, so that no core belongs to
/// two ranks; where there are more ranks than cores, rank i gets core i modulo their number.
std::vector<int> share_of_cores(std::span<int const> cpus, int sharers, int index);

/// That share of a rank: ranks whose masks overlap share what they see; ranks bound apart keep all of their own.
std::vector<int> cores_of_rank(JobMap const& map, int world_rank);

/// For people: hosts, domains, devices, and the cores of each rank.
std::string to_text(JobMap const& map);

}  // namespace windlass
