/// How much memory this process can still take.
#pragma once

#include <cstdint>
#include <string>

namespace windlass {

struct MemorySources {
  std::string proc = "/proc";
  std::string cgroup = "/sys/fs/cgroup";
};

/// The least of: memory free on the machine, room left in each control group of the process (version 1 and 2; file
/// pages that can be dropped count as free), and room in the address-space limit. 0 where nothing can be found out.
std::uint64_t available_memory_bytes(MemorySources const& sources = {});

/// The most memory that this process has held at once since its start. 0 where it cannot be found out.
std::uint64_t peak_resident_bytes(MemorySources const& sources = {});

}  // namespace windlass
