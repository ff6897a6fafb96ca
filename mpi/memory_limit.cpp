#include "mpi/memory_limit.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <limits>

#include "mpi/cgroup.hpp"

namespace windlass {
namespace {

constexpr double no_limit = std::numeric_limits<double>::infinity();
constexpr double page_counter_max = 9e18;  ///< version 1 writes its largest number of bytes for "no limit"

/// The value of a line "key:   123 kB" of a file in /proc.
std::optional<double> bytes_of_line(std::string const& path, std::string const& key) {
  FILE* const file = std::fopen(path.c_str(), "r");
  if (file == nullptr) return std::nullopt;
  std::string const form = key + ": %llu";
  unsigned long long kilobytes = 0;
  char line[256];
  bool found = false;
  while (!found && std::fgets(line, sizeof line, file) != nullptr)
    found = std::sscanf(line, form.c_str(), &kilobytes) == 1;
  std::fclose(file);
  if (!found) return std::nullopt;
  return double(kilobytes) * 1024;
}

double free_on_machine(std::string const& proc) {
  return bytes_of_line(proc + "/meminfo", "MemAvailable").value_or(no_limit);
}

double room_in(std::string const& folder, ControlGroup::Version version) {
  bool const v2 = version == ControlGroup::Version::v2;
  auto const limit = number_in(folder + (v2 ? "/memory.max" : "/memory.limit_in_bytes"));
  if (!limit || *limit >= page_counter_max) return no_limit;
  double const used = number_in(folder + (v2 ? "/memory.current" : "/memory.usage_in_bytes")).value_or(0);
  double const droppable =
      number_of_key(folder + "/memory.stat", v2 ? "inactive_file" : "total_inactive_file").value_or(0);
  return std::max(0.0, *limit - std::max(0.0, used - droppable));
}

double room_in_address_space(std::string const& proc) {
  struct rlimit limit {};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return no_limit;
  double const used = number_in(proc + "/self/statm").value_or(0) * double(::sysconf(_SC_PAGESIZE));
  return std::max(0.0, double(limit.rlim_cur) - used);
}

}  // namespace

std::uint64_t available_memory_bytes(MemorySources const& sources) {
  double least = std::min(free_on_machine(sources.proc), room_in_address_space(sources.proc));
  if (auto const group = find_control_group("memory", sources.proc, sources.cgroup))
    for (std::string const& folder : group->folders) least = std::min(least, room_in(folder, group->version));
  return least == no_limit ? 0 : std::uint64_t(least);
}

std::uint64_t peak_resident_bytes(MemorySources const& sources) {
  return std::uint64_t(bytes_of_line(sources.proc + "/self/status", "VmHWM").value_or(0));
}

}  // namespace windlass
