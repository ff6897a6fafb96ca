/// Memory that several processes of one host map.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace windlass {

/// A segment of /dev/shm. Its memory is taken when it is made, so that a full /dev/shm is an error and never SIGBUS.
/// The last process that unmaps it frees it, once its name is removed. Local.
class SharedSegment {
 public:
  enum class Access : unsigned char { read_only, read_write };

  /// A new one, full of zeros, under `name` (one '/' in front). Throws FileError where /dev/shm has no room.
  static SharedSegment create(std::string const& name, std::size_t bytes);
  /// One that another process made. Throws FileError.
  static SharedSegment open(std::string const& name, Access access);

  std::span<std::byte> bytes() const { return bytes_; }
  std::shared_ptr<void const> owner() const { return mapping_; }  ///< keeps the mapping
  /// Nobody can open it any more; those who have it keep it.
  static void remove_name(std::string const& name) noexcept;

 private:
  SharedSegment(std::span<std::byte> bytes, std::shared_ptr<void const> mapping)
      : bytes_(bytes), mapping_(std::move(mapping)) {}
  std::span<std::byte> bytes_;
  std::shared_ptr<void const> mapping_;
};

/// Bytes that a segment may take: what is free of /dev/shm, and of the process's memory limits, less a margin. Local.
std::size_t shared_memory_room();

}  // namespace windlass
