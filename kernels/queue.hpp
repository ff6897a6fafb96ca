/// Where an operation runs. On the CPU: a thread team, and every call returns when its work is done. On a device: its
/// stream, one per process, which runs operations in the order of their calls.
#pragma once

#include "src/core/thread_team.hpp"

namespace windlass {

enum class MemorySpace : unsigned char { host, device };

/// When a call of a device's operation returns; host backends are always done.
enum class Completion : unsigned char {
  on_return,  ///< when its work is done
  later       ///< at once; Memory::wait() waits for it
};

struct Queue {
  ThreadTeam* team = nullptr;  ///< never null
  Completion completion = Completion::on_return;
};

}  // namespace windlass
