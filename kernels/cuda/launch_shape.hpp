/// How many threads a kernel runs on, and the arithmetic of it. Pure; the host tests it without a device.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/slices.hpp"
#include "src/core/error.hpp"

namespace windlass {

constexpr std::int64_t most_thread_blocks = 2147483647, most_thread_block_parts = 65535;

/// A grid of blocks x parts thread blocks.
struct LaunchShape {
  std::int64_t blocks = 1, parts = 1;
  int threads = 32;  ///< of a thread block, whole warps
  std::size_t shared_bytes = 0;

  bool is_empty() const { return blocks == 0 || parts == 0; }
  bool is_possible(std::size_t most_shared_bytes) const {
    return blocks <= most_thread_blocks && parts <= most_thread_block_parts && threads > 0 && threads <= 1024 &&
           threads % 32 == 0 && shared_bytes <= most_shared_bytes;
  }
};

constexpr std::int64_t parts_of(std::int64_t count, std::int64_t size) { return (count + size - 1) / size; }

/// Partial sums that lie on the stack at once, at most, while the tree of `slices` is walked: the one in hand excluded.
constexpr int waiting_sums(int slices) {
  int depth = 0, most = 0;
  for (int slice = 0; slice + 1 < slices; ++slice) {
    depth += 1 - merges_after(slice, slices);
    most = std::max(most, depth);
  }
  return most;
}

}  // namespace windlass
