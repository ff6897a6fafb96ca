/// What one host has and one process may use of it: NUMA domains, cores, accelerators, network cards.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace windlass {

struct NumaDomain {
  int os_index = 0;
  std::uint64_t memory_bytes = 0;  ///< of the machine
  int machine_cores = 0;           ///< that the cgroup lets anybody use
  std::vector<int> cpus;           ///< the first cpu of each core that this process may use
  bool operator==(NumaDomain const&) const = default;
};

struct Accelerator {
  std::string name, model;  ///< "cuda0", or its PCI address where no driver names it
  int numa = -1;            ///< os_index of its domain; -1: not known
  bool operator==(Accelerator const&) const = default;
};

struct NetworkCard {
  enum class Kind : std::uint8_t { ethernet, fabric };  ///< fabric: InfiniBand, Omni-Path, RoCE verbs
  std::string name;
  Kind kind = Kind::ethernet;
  int numa = -1;
  bool operator==(NetworkCard const&) const = default;
};

struct HostMap {
  std::string host;
  std::string processor;
  std::vector<NumaDomain> domains;  ///< at least one; in the order of os_index
  std::vector<Accelerator> accelerators;
  std::vector<NetworkCard> cards;
  double processor_limit = 0;         ///< the cgroup's processor seconds per second; 0: none
  std::uint64_t available_bytes = 0;  ///< memory that the process can still take; 0: not known

  std::vector<int> cpus() const;  ///< of all domains
  int machine_cores() const;
  /// The domain with most of the process's cores, as an index into `domains`.
  int main_domain() const;
  bool operator==(HostMap const&) const = default;
};

/// Where the map comes from. Both empty: this machine and this process's affinity mask, limits and host name.
struct HostSource {
  std::string synthetic;          ///< hwloc's description, such as "pack:2 [numa] core:4 pu:2"
  std::string xml_file;           ///< lstopo's XML
  std::vector<int> allowed_cpus;  ///< of a made machine; empty: all
  std::string host = "";          ///< its name; empty: what the XML says
};

/// Throws InputError where hwloc cannot read the source or the mask allows no processor. Local; reads PCI devices, so
/// call it once.
HostMap read_host_map(HostSource const& source = {});

}  // namespace windlass
