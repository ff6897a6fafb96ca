#include "mpi/topology.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>

#include "mpi/cgroup.hpp"
#include "mpi/hwloc_handles.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

HwlocTopology load_topology() {
  hwloc_topology_t topology = nullptr;
  ensure(hwloc_topology_init(&topology) == 0, "hwloc_topology_init failed");
  HwlocTopology owned(topology);
  if (hwloc_topology_load(topology) != 0) throw InputError("hwloc cannot read this machine's topology");
  return owned;
}

/// The first cpu of each object of `type` that `mask` allows.
std::vector<int> first_cpus(hwloc_topology_t topology, hwloc_obj_type_t type, hwloc_const_bitmap_t mask) {
  std::vector<int> cpus;
  HwlocBitmap const common(hwloc_bitmap_alloc());
  for (hwloc_obj_t object = nullptr; (object = hwloc_get_next_obj_by_type(topology, type, object)) != nullptr;) {
    hwloc_bitmap_and(common.get(), object->cpuset, mask);
    if (int const cpu = hwloc_bitmap_first(common.get()); cpu >= 0) cpus.push_back(cpu);
  }
  return cpus;
}

std::string processor_name(hwloc_topology_t topology) {
  for (hwloc_obj_type_t const type : {HWLOC_OBJ_PACKAGE, HWLOC_OBJ_MACHINE})
    if (hwloc_obj_t const object = hwloc_get_obj_by_type(topology, type, 0))
      if (char const* const name = hwloc_obj_get_info_by_name(object, "CPUModel")) return name;
  return {};
}

}  // namespace

int CoreSet::usable_threads() const {
  int const cores = int(cpus.size());
  if (processor_limit <= 0) return cores;
  return std::clamp(int(std::floor(processor_limit + 0.5)), 1, cores);
}

CoreSet find_cores() {
  HwlocTopology const topology = load_topology();
  HwlocBitmap const mask(hwloc_bitmap_alloc());
  hwloc_const_bitmap_t const allowed = hwloc_topology_get_allowed_cpuset(topology.get());
  if (hwloc_get_cpubind(topology.get(), mask.get(), HWLOC_CPUBIND_THREAD) != 0) hwloc_bitmap_copy(mask.get(), allowed);
  CoreSet found{.processor_limit = cgroup_processor_limit("/proc", "/sys/fs/cgroup"),
                .processor = processor_name(topology.get())};
  hwloc_obj_type_t type = HWLOC_OBJ_CORE;
  if (first_cpus(topology.get(), type, allowed).empty()) type = HWLOC_OBJ_PU;  // some virtual machines show no cores
  found.cpus = first_cpus(topology.get(), type, mask.get());
  found.machine_cores = int(first_cpus(topology.get(), type, allowed).size());
  if (found.cpus.empty()) throw InputError("the affinity mask allows this process no processor");
  return found;
}

double cgroup_processor_limit(std::string const& proc, std::string const& cgroup) {
  auto const group = find_control_group("cpu", proc, cgroup);
  if (!group) return 0;
  double least = 0;
  for (std::string const& folder : group->folders) {
    double quota_us = 0, period_us = 0;
    if (group->version == ControlGroup::Version::v2) {
      std::ifstream(folder + "/cpu.max") >> quota_us >> period_us;  // "max 100000" leaves both 0
    } else {
      quota_us = number_in(folder + "/cpu.cfs_quota_us").value_or(0);  // -1: no limit
      period_us = number_in(folder + "/cpu.cfs_period_us").value_or(0);
    }
    if (quota_us <= 0 || period_us <= 0) continue;
    double const limit = quota_us / period_us;
    least = least == 0 ? limit : std::min(least, limit);
  }
  return least;
}

}  // namespace windlass
