/// Memory for packed weights: zeroed, aligned, on huge pages where the system gives them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/memory.hpp"

namespace windlass {

/// Who writes packed weights.
enum class Filling : std::uint8_t {
  here,       ///< pack() of this process
  elsewhere,  ///< another process, in the same memory
  nobody      ///< there is no memory: only its size is wanted
};

/// Memory that was made for weights before they are packed.
struct WeightMemory {
  std::span<std::byte> bytes;         ///< zeroed, aligned to 64; empty: the arena takes its own
  std::shared_ptr<void const> owner;  ///< keeps it alive
  Filling filling = Filling::here;
  Memory const* space = &host_memory;  ///< whose memory the arena takes where it takes its own
};

/// Hands out parts of large regions, or of memory given to it, in order, so that matrices packed one after
/// the other also lie so, and in every process in the same places. Pages become resident when they are written. Not for
/// several threads at once.
class WeightArena {
 public:
  /// `region_bytes`: how much address space is taken at a time.
  explicit WeightArena(std::size_t region_bytes = std::size_t(1) << 30, Memory const& space = host_memory)
      : region_bytes_(region_bytes), space_(&space) {}
  explicit WeightArena(WeightMemory memory);

  struct Part {
    std::span<std::byte> bytes;         ///< zeroed, aligned to 64; with Filling::nobody not to be touched
    std::shared_ptr<void const> owner;  ///< keeps the region alive
  };
  /// What was handed out before has been written. Throws as Memory::allocate.
  Part allocate(std::size_t bytes);

  /// All that was handed out has been written, and operations will read it.
  void settle() const;

  MemorySpace space() const { return space_->space; }
  Filling filling() const { return filling_; }
  std::size_t taken_bytes() const { return taken_bytes_; }

 private:
  std::size_t region_bytes_ = 0;  ///< 0: the memory is given
  Memory const* space_ = &host_memory;
  std::shared_ptr<void const> region_;
  std::span<std::byte> all_, free_;  // of the region
  Filling filling_ = Filling::here;
  std::size_t taken_bytes_ = 0;
};

}  // namespace windlass
