/// Memory that the operations of a backend read and write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/queue.hpp"

namespace windlass {

enum class MemoryUse : std::uint8_t {
  weights,  ///< written once, then read by operations; on huge pages where the system gives them
  pages,    ///< of KV; the same
  buffers,  ///< what one operation leaves for the next
  results   ///< what the host reads or writes in every step
};

/// How a backend's memory is made. The host may read and write all of it between two steps; while operations that were
/// called with Completion::later have not ended, neither (wait()). Operations read lists (tokens, rows and their
/// weights, sequences and their pages, partial sums) from ordinary memory during the call; every other pointer that
/// they get is the backend's memory.
struct Memory {
  MemorySpace space = MemorySpace::host;
  /// Zeroed, aligned to a page. Throws FileError("memory") where the system refuses, InputError where a device has
  /// no room, with its bytes and what to do.
  std::shared_ptr<std::byte> (*allocate)(std::size_t bytes, MemoryUse use) = nullptr;
  void (*zero)(std::span<std::byte> bytes) = nullptr;                      ///< done on return
  void (*copy)(std::span<std::byte> to, std::byte const* from) = nullptr;  ///< done on return; they do not overlap
  void (*settle)(std::span<std::byte const> bytes) = nullptr;              ///< the host is done: operations read next
  void (*wait)(Queue const& queue) = nullptr;                              ///< until all operations of it have ended
  std::uint64_t (*free_bytes)() = nullptr;                                 ///< null: the host's, whoever counts them
};

extern Memory const host_memory;

}  // namespace windlass
