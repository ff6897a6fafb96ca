/// Memory for packed weights: zeroed, aligned, on huge pages where the system gives them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace windlass {

/// Hands out parts of large anonymous mappings, in order, so that matrices packed one after the other also lie so.
/// Pages become resident when they are written. Not for several threads at once.
class WeightArena {
 public:
  /// `region_bytes`: how much address space is taken at a time.
  explicit WeightArena(std::size_t region_bytes = std::size_t(1) << 30) : region_bytes_(region_bytes) {}

  struct Part {
    std::span<std::byte> bytes;         ///< zeroed, aligned to 64
    std::shared_ptr<void const> owner;  ///< keeps the region alive
  };
  /// Throws FileError("memory") where the system refuses.
  Part allocate(std::size_t bytes);

 private:
  std::size_t region_bytes_;
  std::shared_ptr<std::byte> region_;
  std::span<std::byte> free_;
};

}  // namespace windlass
