/// The user block of a checkpoint's file, and plain reads and writes at an offset; for the store's own sources.
#pragma once

#include <cstdint>
#include <span>

#include "src/store/checkpoint_file.hpp"

namespace windlass {

constexpr std::uint64_t user_block_bytes = 4096;
constexpr std::size_t piece_bytes = std::size_t{256} << 10;  ///< of a page that is summed and moved: fits into caches

/// Throw FileError where the file ends early, or the system refuses.
void read_at(OpenFile const& file, std::uint64_t offset, std::span<std::byte> out);
void write_at(OpenFile const& file, std::uint64_t offset, std::span<std::byte const> bytes);

/// Checksum of what is neither the user block nor pages.
std::uint64_t digest_of(OpenFile const& file, UserBlock const& block);
/// Fills the user block in (`block` has the pages) and syncs the file.
void seal(OpenFile const& file, UserBlock block);
/// Without comparing the digest. Throws as verified_user_block() does.
UserBlock read_user_block(OpenFile const& file);

}  // namespace windlass
