#include "mpi/host_map.hpp"

#include <unistd.h>

#include <algorithm>

#include "mpi/cgroup.hpp"
#include "mpi/hwloc_handles.hpp"
#include "mpi/memory_limit.hpp"
#include "mpi/topology.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr unsigned pci_display = 0x03, nvidia = 0x10de, amd = 0x1002;
constexpr unsigned pci_3d_controller = 0x0302;

bool is_made(HostSource const& source) { return !source.synthetic.empty() || !source.xml_file.empty(); }

HwlocTopology load(HostSource const& source) {
  hwloc_topology_t topology = nullptr;
  ensure(hwloc_topology_init(&topology) == 0, "hwloc_topology_init failed");
  HwlocTopology owned(topology);
  hwloc_topology_set_io_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
  if (!source.synthetic.empty() && hwloc_topology_set_synthetic(topology, source.synthetic.c_str()) != 0)
    throw InputError(text("hwloc does not understand the topology '", source.synthetic, "'"));
  if (!source.xml_file.empty() && hwloc_topology_set_xml(topology, source.xml_file.c_str()) != 0)
    throw InputError(text(source.xml_file, ": hwloc cannot read it (lstopo FILE.xml writes such files)"));
  if (hwloc_topology_load(topology) != 0)
    throw InputError(text("hwloc cannot read the topology of ", is_made(source) ? "that description" : "this machine"));
  return owned;
}

HwlocBitmap usable_cpus(hwloc_topology_t topology, HostSource const& source) {
  HwlocBitmap mask(hwloc_bitmap_alloc());
  hwloc_const_bitmap_t const allowed = hwloc_topology_get_allowed_cpuset(topology);
  for (int const cpu : source.allowed_cpus) hwloc_bitmap_set(mask.get(), unsigned(cpu));
  bool const bound = !is_made(source) && hwloc_get_cpubind(topology, mask.get(), HWLOC_CPUBIND_THREAD) == 0;
  if (!bound && source.allowed_cpus.empty()) hwloc_bitmap_copy(mask.get(), allowed);
  return mask;
}

struct CoreCount {
  std::vector<int> cpus;
  int machine_cores = 0;
};

/// Cores (processors where the machine shows no cores) inside `domain`.
CoreCount cores_in(hwloc_topology_t topology, hwloc_const_bitmap_t domain, hwloc_const_bitmap_t mask) {
  CoreCount count;
  HwlocBitmap const common(hwloc_bitmap_alloc());
  bool const has_cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0;
  hwloc_obj_type_t const type = has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  for (hwloc_obj_t core = nullptr; (core = hwloc_get_next_obj_inside_cpuset_by_type(topology, domain, type, core));) {
    ++count.machine_cores;
    hwloc_bitmap_and(common.get(), core->cpuset, mask);
    if (int const cpu = hwloc_bitmap_first(common.get()); cpu >= 0) count.cpus.push_back(cpu);
  }
  return count;
}

std::vector<NumaDomain> read_domains(hwloc_topology_t topology, hwloc_const_bitmap_t mask) {
  std::vector<NumaDomain> domains;
  for (hwloc_obj_t node = nullptr; (node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node));) {
    CoreCount const cores = cores_in(topology, node->cpuset, mask);
    if (cores.machine_cores == 0) continue;  // memory alone, such as HBM or CXL beside the cores' own domain
    domains.push_back({.os_index = int(node->os_index),
                       .memory_bytes = node->attr->numanode.local_memory,
                       .machine_cores = cores.machine_cores,
                       .cpus = cores.cpus});
  }
  std::sort(domains.begin(), domains.end(), [](auto const& a, auto const& b) { return a.os_index < b.os_index; });
  return domains;
}

/// The os_index of the NUMA domain that a device hangs on, if it hangs on one alone.
int numa_of(hwloc_topology_t topology, hwloc_obj_t device) {
  hwloc_obj_t const parent = hwloc_get_non_io_ancestor_obj(topology, device);
  if (parent == nullptr || parent->nodeset == nullptr || hwloc_bitmap_weight(parent->nodeset) != 1) return -1;
  return hwloc_bitmap_first(parent->nodeset);
}

bool is_accelerator(hwloc_obj_t pci) {
  auto const& attributes = pci->attr->pcidev;
  bool const display = attributes.class_id >> 8 == pci_display;
  bool const computes = attributes.vendor_id == nvidia || attributes.vendor_id == amd;
  return attributes.class_id == pci_3d_controller || (display && computes);
}

Accelerator read_accelerator(hwloc_topology_t topology, hwloc_obj_t pci) {
  char address[32] = "";
  auto const& at = pci->attr->pcidev;
  std::snprintf(address, sizeof address, "%04x:%02x:%02x.%x", unsigned(at.domain), unsigned(at.bus), unsigned(at.dev),
                unsigned(at.func));
  Accelerator found{.name = address, .numa = numa_of(topology, pci)};
  if (char const* const model = hwloc_obj_get_info_by_name(pci, "PCIDevice")) found.model = model;
  for (hwloc_obj_t child = pci->io_first_child; child != nullptr; child = child->next_sibling) {
    if (child->type != HWLOC_OBJ_OS_DEVICE || child->attr->osdev.type != HWLOC_OBJ_OSDEV_COPROC) continue;
    found.name = child->name;
    if (char const* const model = hwloc_obj_get_info_by_name(child, "GPUModel")) found.model = model;
  }
  return found;
}

void read_devices(hwloc_topology_t topology, HostMap& map) {
  for (hwloc_obj_t pci = nullptr; (pci = hwloc_get_next_pcidev(topology, pci));)
    if (is_accelerator(pci)) map.accelerators.push_back(read_accelerator(topology, pci));
  for (hwloc_obj_t device = nullptr; (device = hwloc_get_next_osdev(topology, device));) {
    auto const type = device->attr->osdev.type;
    if (type != HWLOC_OBJ_OSDEV_NETWORK && type != HWLOC_OBJ_OSDEV_OPENFABRICS) continue;
    bool const fabric = type == HWLOC_OBJ_OSDEV_OPENFABRICS;
    map.cards.push_back({.name = device->name,
                         .kind = fabric ? NetworkCard::Kind::fabric : NetworkCard::Kind::ethernet,
                         .numa = numa_of(topology, device)});
  }
}

std::string info(hwloc_topology_t topology, char const* name) {
  for (hwloc_obj_type_t const type : {HWLOC_OBJ_PACKAGE, HWLOC_OBJ_MACHINE})
    if (hwloc_obj_t const object = hwloc_get_obj_by_type(topology, type, 0))
      if (char const* const value = hwloc_obj_get_info_by_name(object, name)) return value;
  return {};
}

std::string this_host() {
  char name[256] = "";
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

}  // namespace

std::vector<int> HostMap::cpus() const {
  std::vector<int> all;
  for (NumaDomain const& domain : domains) all.insert(all.end(), domain.cpus.begin(), domain.cpus.end());
  return all;
}

int HostMap::machine_cores() const {
  int cores = 0;
  for (NumaDomain const& domain : domains) cores += domain.machine_cores;
  return cores;
}

int HostMap::main_domain() const {
  auto const fewer = [](NumaDomain const& a, NumaDomain const& b) { return a.cpus.size() < b.cpus.size(); };
  return int(std::max_element(domains.begin(), domains.end(), fewer) - domains.begin());
}

HostMap read_host_map(HostSource const& source) {
  HwlocTopology const topology = load(source);
  HwlocBitmap const mask = usable_cpus(topology.get(), source);
  HostMap map{.host = source.host.empty() ? info(topology.get(), "HostName") : source.host,
              .processor = info(topology.get(), "CPUModel"),
              .domains = read_domains(topology.get(), mask.get())};
  read_devices(topology.get(), map);
  if (!is_made(source)) {
    map.host = this_host();  // what MPI groups ranks by; hwloc may have asked another name space
    map.processor_limit = cgroup_processor_limit("/proc", "/sys/fs/cgroup");
    map.available_bytes = available_memory_bytes();
  }
  if (map.cpus().empty()) throw InputError("the affinity mask allows this process no processor");
  return map;
}

}  // namespace windlass
