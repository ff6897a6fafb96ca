/// The tables of a rank's part as rows of plain numbers; for the store's own sources. Layout: README.md.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "src/store/checkpoint_data.hpp"
#include "src/store/hdf5_file.hpp"

namespace windlass {

struct BlockRow {
  std::uint64_t name_high, name_low, parent_high, parent_low;
};
struct PageRow {
  std::uint64_t name_high = 0, name_low = 0;
  std::uint32_t group = 0, file = 0, row = 0, zero = 0;
};
struct RequestRow {
  std::uint64_t name_high, name_low, first_choice, choices, progress_begin, progress_bytes;
};
struct ChoiceRow {
  std::uint32_t choice, prompt_tokens, generated_tokens, computed;
  std::uint64_t first_token;
};

struct PartTables {
  std::vector<BlockRow> blocks;
  std::vector<TokenId> block_tokens;  ///< [blocks, 64]
  std::vector<PageRow> pages;
  std::vector<std::uint64_t> page_checksums;  ///< [pages]; of a new part written later
  std::vector<RequestRow> requests;
  std::vector<ChoiceRow> choices;
  std::vector<TokenId> tokens;
  std::vector<std::byte> progress;
};

/// All but the pages.
PartTables tables_of(CheckpointContent const& content);
/// All but the files. Throws FileError where the tables contradict each other.
SavedPart part_of(PartTables tables, std::string const& path);

/// All but page_checksums.
void write(Hdf5File& file, PartTables const& tables);
void read(Hdf5File const& file, PartTables& tables);

}  // namespace windlass
