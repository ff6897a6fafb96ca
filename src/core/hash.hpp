/// A 128-bit hash for names of content (blocks, models, inputs). Not for keys or secrets.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace windlass {

struct Hash128 {
  std::uint64_t low = 0, high = 0;
  auto operator<=>(Hash128 const&) const = default;
};

/// MurmurHash3 x64-128 of `bytes`, continued from `seed` (a chain: the hash of what came before).
/// Source: Austin Appleby, MurmurHash3 (public domain), with a 128-bit seed.
Hash128 hash_bytes(std::span<std::byte const> bytes, Hash128 seed = {});
Hash128 hash_text(std::string_view text, Hash128 seed = {});

/// 32 lower-case hexadecimal digits, high half first.
std::string to_hex(Hash128 hash);

}  // namespace windlass

template <>
struct std::hash<windlass::Hash128> {
  std::size_t operator()(windlass::Hash128 const& h) const noexcept { return std::size_t(h.low ^ (h.high * 31)); }
};
