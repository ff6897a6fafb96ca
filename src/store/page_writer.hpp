/// Pages on their way into a file of a checkpoint; for the store's own sources.
#pragma once

#include <cstdint>
#include <span>

#include "src/store/checkpoint_file.hpp"

namespace windlass {

struct PlacedPage {
  PageToSave page;
  std::uint64_t page_bytes = 0;
  std::uint64_t offset = 0;           ///< in the file
  std::uint64_t* checksum = nullptr;  ///< gets it
};

/// Writes the pages, a run of neighbours at a time, and lets the system begin to put each run on the disk. False where
/// the pace ended it. Throws FileError.
bool write_pages(OpenFile const& file, std::span<PlacedPage const> pages, WriteManner const& manner);

}  // namespace windlass
