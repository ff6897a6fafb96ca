/// Which processors this process may use.
#pragma once

#include <string>
#include <vector>

namespace windlass {

struct CoreSet {
  std::vector<int> cpus;       ///< one operating-system cpu of each physical core in the affinity mask; not empty
  int machine_cores = 0;       ///< physical cores of the machine that the cgroup lets anybody here use
  double processor_limit = 0;  ///< the cgroup's processor seconds per second; 0: no limit
  std::string processor;       ///< model name, for reports; may be empty

  /// Threads that can run at once: the cores, or fewer where the cgroup's limit is lower.
  int usable_threads() const;
};

/// Reads hwloc's topology and the mask of the calling thread, so call it before any thread is pinned. Local.
CoreSet find_cores();

/// Processor seconds per second that the cgroups allow the process; 0: no limit. `proc` and `cgroup` are the mount
/// points ("/proc", "/sys/fs/cgroup").
double cgroup_processor_limit(std::string const& proc, std::string const& cgroup);

}  // namespace windlass
