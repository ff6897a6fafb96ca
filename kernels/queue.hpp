/// Where an operation runs. On the CPU: a thread team, and every call returns when its work is done. On a device: a
/// stream, and calls return at once.
#pragma once

#include "src/core/thread_team.hpp"

namespace windlass {

enum class MemorySpace : unsigned char { host, device };

struct Queue {
  ThreadTeam* team = nullptr;  ///< host backends; never null there
};

}  // namespace windlass
