// A rank's part of a checkpoint: tables through HDF5, pages by plain writes into the room that HDF5 reserved.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/store/atomic_file.hpp"
#include "src/store/checkpoint_block.hpp"
#include "src/store/checkpoint_tables.hpp"
#include "src/store/hdf5_file.hpp"
#include "src/store/page_writer.hpp"

namespace windlass {
namespace {

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

std::vector<PlacedPage> placed_pages(PartToWrite const& part, PartLayout& layout, Places const& places) {
  std::vector<PlacedPage> placed;
  for (std::size_t group = 0; group < part.groups.size(); ++group) {
    std::uint64_t at = places.block.pages[group].offset;
    for (PartLayout::NewPage const& each : layout.new_pages[group]) {
      PageToSave const& page = part.content->pages[each.page];
      std::uint64_t const bytes = part.groups[group].page_bytes;
      placed.push_back(
          {.page = page, .page_bytes = bytes, .offset = at, .checksum = &layout.checksums[each.row_of_table]});
      at += bytes;
    }
  }
  return placed;
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
  if (!write_pages(file, placed_pages(part, layout, places), part.manner)) return std::nullopt;
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
