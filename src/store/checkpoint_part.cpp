// A rank's part of a checkpoint: tables through HDF5, pages by plain writes into the room that HDF5 reserved.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "src/core/checksum.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/store/atomic_file.hpp"
#include "src/store/checkpoint_block.hpp"
#include "src/store/checkpoint_tables.hpp"
#include "src/store/hdf5_file.hpp"

namespace windlass {
namespace {

constexpr std::uint64_t sync_bytes = std::uint64_t{32} << 20;  ///< after so many the system may begin to write

/// Where everything of a new part will lie.
struct PartLayout {
  PartTables tables;
  std::vector<std::uint64_t> checksums;  ///< [tables.pages]
  struct NewPage {
    std::size_t page = 0;  ///< index into the content's pages
    std::size_t row_of_table = 0;
  };
  std::vector<NewPage> new_pages[max_layer_groups];
  std::vector<std::string> files;
};

std::uint32_t file_index(PartLayout& layout, std::map<std::string, std::uint32_t>& indices, std::string const& name) {
  auto const [at, is_new] = indices.try_emplace(name, std::uint32_t(layout.files.size()));
  if (is_new) layout.files.push_back(name);
  return at->second;
}

PartLayout plan_layout(PartToWrite const& part) {
  PartLayout layout{.tables = tables_of(*part.content)};
  std::map<std::string, std::uint32_t> indices;
  file_index(layout, indices, part.name);
  for (std::size_t i = 0; i < part.content->pages.size(); ++i) {
    PageToSave const& page = part.content->pages[i];
    PageRow row{.name_high = page.name.name.high, .name_low = page.name.name.low, .group = page.name.group};
    std::uint64_t checksum = 0;
    if (auto const at = part.known.find(page.name); at != part.known.end()) {
      row.file = file_index(layout, indices, at->second.first);
      row.row = at->second.second.row;
      checksum = at->second.second.checksum;
    } else {
      auto& rows = layout.new_pages[row.group];
      row.row = std::uint32_t(rows.size());
      rows.push_back({.page = i, .row_of_table = layout.tables.pages.size()});
    }
    layout.tables.pages.push_back(row);
    layout.checksums.push_back(checksum);
  }
  return layout;
}

struct Places {
  UserBlock block;
  std::uint64_t checksums_offset = 0;
};

/// Everything but the pages and their checksums, for which there is room.
Places write_tables(std::string const& path, PartToWrite const& part, PartLayout const& layout) {
  Places places{.block = {.groups = part.groups.size()}};
  Hdf5File file(path, Hdf5File::Mode::create);
  file.write_number("format", checkpoint_format);
  write(file, layout.tables);
  file.write_names("files", layout.files);
  places.checksums_offset =
      file.reserve_numbers("page_checksums", {.rows = layout.checksums.size(), .element_bytes = 8});
  file.make_group("data");
  for (std::size_t group = 0; group < part.groups.size(); ++group) {
    NumbersShape const shape{.rows = layout.new_pages[group].size(), .width = part.groups[group].page_bytes};
    places.block.pages[group] = {.offset = file.reserve_numbers(text("data/group", group), shape),
                                 .rows = shape.rows,
                                 .page_bytes = shape.width};
  }
  file.close();
  return places;
}

/// False where the pace ended it.
bool write_pages(OpenFile const& file, PartToWrite const& part, PartLayout& layout, Places const& places) {
  std::uint64_t unsynced = 0;
  for (std::size_t group = 0; group < part.groups.size(); ++group) {
    std::uint64_t at = places.block.pages[group].offset;
    for (PartLayout::NewPage const& each : layout.new_pages[group]) {
      PageToSave const& page = part.content->pages[each.page];
      ensure(page.bytes.size() == part.groups[group].page_bytes, "a page of a checkpoint has another group's size");
      layout.checksums[each.row_of_table] = checksum(page.bytes, salt_of(page.name));
      write_at(file, at, page.bytes);
      at += page.bytes.size();
      unsynced += page.bytes.size();
      if (unsynced >= sync_bytes) {
        ::sync_file_range(file.descriptor(), off_t(at - unsynced), off_t(unsynced), SYNC_FILE_RANGE_WRITE);
        unsynced = 0;
      }
      if (part.pace && !part.pace(page.bytes.size())) return false;
    }
    unsynced = 0;
  }
  return true;
}

WrittenPart result_of(PartLayout const& layout, UserBlock const& block, std::string const& own_name) {
  WrittenPart out{.digest = block.digest, .bytes = block.file_bytes, .tables = {.files = layout.files}};
  for (std::size_t i = 0; i < layout.tables.pages.size(); ++i) {
    PageRow const& row = layout.tables.pages[i];
    out.tables.pages[{.group = row.group, .name = {row.name_low, row.name_high}}] = {
        .file = row.file, .row = row.row, .checksum = layout.checksums[i]};
    ++(layout.files[row.file] == own_name ? out.new_pages : out.kept_pages);
  }
  return out;
}

std::optional<WrittenPart> write_beside(std::string const& path, PartToWrite const& part) {
  PartLayout layout = plan_layout(part);
  Places const places = write_tables(path, part, layout);
  OpenFile const file(path, O_RDWR);
  if (!write_pages(file, part, layout, places)) return std::nullopt;
  if (!layout.checksums.empty()) write_at(file, places.checksums_offset, std::as_bytes(std::span(layout.checksums)));
  seal(file, places.block);
  return result_of(layout, read_user_block(file), part.name);
}

}  // namespace

bool checkpoints_supported() { return true; }

std::optional<WrittenPart> write_part(PartToWrite const& part) {
  std::string const path = part.folder + "/" + part.name, beside = path + ".new";
  std::optional<WrittenPart> written;
  try {
    written = write_beside(beside, part);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(beside, ignored);
    throw;
  }
  if (!written) {
    std::error_code ignored;
    std::filesystem::remove(beside, ignored);
    return std::nullopt;
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) throw FileError(path, "rename its new content to it", errno);
  sync_folder_of(path);
  return written;
}

SavedPart read_part(std::string const& path) {
  verified_user_block(path);
  Hdf5File const file(path, Hdf5File::Mode::read);
  PartTables tables;
  read(file, tables);
  SavedPart part = part_of(std::move(tables), path);
  part.files = file.read_names("files");
  return part;
}

}  // namespace windlass
