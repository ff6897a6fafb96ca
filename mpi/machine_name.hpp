/// Which processes can reach each other without MPI.
#pragma once

#include <string>

namespace windlass {

/// Processes with equal names can signal each other by number and open each other's files: one kernel, one namespace of
/// process numbers. Empty where it cannot be found out.
std::string machine_name();

}  // namespace windlass
