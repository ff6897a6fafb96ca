/// A fast checksum of pages: tells damaged, torn or foreign bytes from the right ones. Not for keys or secrets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace windlass {

/// Depends on every byte, on its place, on the length and on `salt` (what the bytes are meant to be). Eight lanes of
/// multiply and add over stripes of 64 bytes, so that it runs at the speed of memory.
std::uint64_t checksum(std::span<std::byte const> bytes, std::uint64_t salt);

/// The same piece by piece, so that each is summed while it is in the cache.
class RunningChecksum {
 public:
  static constexpr std::size_t lanes = 8, stripe_bytes = lanes * sizeof(std::uint64_t);
  static constexpr std::size_t piece_bytes = 16 * stripe_bytes;  ///< every piece but the last is a multiple of it

  explicit RunningChecksum(std::uint64_t salt);
  void add(std::span<std::byte const> piece);
  std::uint64_t result() const;  ///< of all pieces together

 private:
  std::uint64_t salt_, bytes_ = 0;
  std::array<std::uint64_t, lanes> sums_;
  std::array<std::byte, stripe_bytes> rest_{};  // of the last piece, behind its whole stripes
};

}  // namespace windlass
