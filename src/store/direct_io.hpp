/// Reads and writes past the page cache, where file system and alignment allow; for the store's own sources.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>

#include "src/store/locked_file.hpp"

namespace windlass {

constexpr std::size_t direct_alignment = 4096;  ///< of offsets, addresses and lengths: enough for every disk

/// Null where the file cannot be opened so.
std::unique_ptr<OpenFile> open_direct(std::string const& path, int flags);

inline bool is_aligned(std::uint64_t place) { return place % direct_alignment == 0; }
inline bool is_aligned(void const* place) { return is_aligned(std::uint64_t(reinterpret_cast<std::uintptr_t>(place))); }

/// Memory at such an address.
struct FreeMemory {
  void operator()(std::byte* memory) const { std::free(memory); }
};
using AlignedMemory = std::unique_ptr<std::byte, FreeMemory>;
AlignedMemory aligned_memory(std::size_t bytes);

enum class Transfer : unsigned char { read, write };
/// All of `pieces`, which follow each other in the file; changes them. Returns 0, or the error number; ENODATA where
/// the file ends early.
int move_pieces(OpenFile const& file, Transfer transfer, std::uint64_t offset, std::span<iovec> pieces);

}  // namespace windlass
