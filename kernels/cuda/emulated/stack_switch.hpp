/// Leaving one stack for another. On x86-64 in a few instructions (emulated threads wait for each other a million times
/// a second); elsewhere with the C library's contexts, which ask the kernel each time.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace windlass::cuda_emulated {

/// Where a stack was left, or is to be entered.
class StackPlace {
 public:
  /// To enter `stack` at `entry`, which never returns.
  void start(std::byte* stack, std::size_t bytes, void (*entry)());
  /// Goes on there, and comes back when somebody switches to `own`.
  void switch_from(StackPlace& own);

 private:
#if defined(__x86_64__)
  void* top_ = nullptr;
#else
  ucontext_t context_{};
#endif
};

}  // namespace windlass::cuda_emulated
