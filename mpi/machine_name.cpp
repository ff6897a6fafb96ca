#include "mpi/machine_name.hpp"

#include <unistd.h>

#include <climits>
#include <fstream>

namespace windlass {

std::string machine_name() {
  std::string boot;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
  char space[PATH_MAX] = "";
  if (::readlink("/proc/self/ns/pid", space, sizeof space - 1) < 0) return "";
  return boot + " " + space;
}

}  // namespace windlass
