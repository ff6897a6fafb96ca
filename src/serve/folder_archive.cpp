#include "src/serve/folder_archive.hpp"

#include <algorithm>

#include "src/core/clock.hpp"

namespace windlass {

bool FolderArchive::holds(Block const& block) const {
  if (!is_known(block)) return false;
  for (std::size_t group = 0; group < source_.groups.size(); ++group)
    if (source_.folder.has(name_of(int(group), block.name))) return true;
  return false;
}

void FolderArchive::read(std::span<Page> pages, ThreadTeam& team) {
  Microseconds const begun = now_us();
  std::vector<Wanted> wanted;
  for (Page& page : pages)
    if (auto const name = name_in_folder(page))
      wanted.push_back({.name = *name, .page = &page});
    else
      ++counts_.missing_pages;
  source_.whole != nullptr ? read_parts(wanted, team) : read_whole(wanted, team);
  for (Wanted const& read : wanted) count(read);
  counts_.restore_us += now_us() - begun;
}

/// Names do not prove: tokens and predecessor must be the same.
bool FolderArchive::is_known(Block const& block) const {
  auto const at = source_.blocks.find(block.name);
  return at != source_.blocks.end() && at->second.parent == block.parent &&
         std::equal(block.tokens.begin(), block.tokens.end(), at->second.tokens.begin(), at->second.tokens.end());
}

std::optional<PageName> FolderArchive::name_in_folder(Page const& page) const {
  if (auto const* const partial = std::get_if<Partial>(&page.of))
    return name_of(page.group,
                   partial_name(source_.request, std::uint32_t(partial->choice), std::uint32_t(partial->computed)));
  Block const& block = std::get<Block>(page.of);
  return is_known(block) ? std::optional(name_of(page.group, block.name)) : std::nullopt;
}

void FolderArchive::read_whole(std::span<Wanted> wanted, ThreadTeam& team) {
  std::vector<CheckpointFolder::PageToRead> reads;
  for (Wanted const& each : wanted) reads.push_back({.name = each.name, .bytes = each.page->bytes});
  source_.folder.read(reads, team);
  for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i].result = reads[i].result;
}

void FolderArchive::read_parts(std::span<Wanted> wanted, ThreadTeam& team) {
  std::vector<WholePages::Wanted> reads;
  for (Wanted const& each : wanted) reads.push_back({.name = each.name, .page = each.page->page});
  source_.whole->read(source_.folder, reads, team);
  for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i].result = reads[i].result;
}

void FolderArchive::count(Wanted const& read) {
  read.page->is_read = read.result == PageReader::Result::ok;
  counts_.missing_pages += read.result == PageReader::Result::missing;
  counts_.damaged_pages += read.result == PageReader::Result::damaged;
  if (!read.page->is_read) return;
  ++counts_.restored_pages;
  counts_.restored_bytes += std::int64_t(source_.groups[std::size_t(read.page->group)].page_bytes);
}

}  // namespace windlass
