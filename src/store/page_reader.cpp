// Pages back from the files of checkpoints, whole ones alone.
#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <tuple>

#include "src/core/checksum.hpp"
#include "src/core/error.hpp"
#include "src/store/checkpoint_block.hpp"
#include "src/store/direct_io.hpp"

namespace windlass {
namespace {

constexpr std::size_t run_bytes = std::size_t{4} << 20;  ///< that one thread reads at a time

/// Whether the file's page there is in memory. Where the system does not say, it is taken to be.
bool is_cached(OpenFile const& file, std::uint64_t offset) {
  char byte = 0;
  iovec piece{.iov_base = &byte, .iov_len = 1};
  return ::preadv2(file.descriptor(), &piece, 1, off_t(offset), RWF_NOWAIT) == 1 || errno != EAGAIN;
}

}  // namespace

PageReader::PageReader(std::string folder) : folder_(std::move(folder)) {}
PageReader::~PageReader() = default;

PageReader::Opened const& PageReader::open(std::string const& name) {
  auto const [at, is_new] = files_.try_emplace(name);
  Opened& opened = at->second;
  if (!is_new) return opened;
  try {
    std::string const path = folder_ + "/" + name;
    auto file = std::make_unique<OpenFile>(path, O_RDONLY);
    opened.block = read_user_block(*file);
    opened.direct = open_direct(path, O_RDONLY);
    opened.file = std::move(file);
  } catch (std::exception const&) {  // its pages count as missing
  }
  return opened;
}

bool PageReader::lies_in(UserBlock const& block, Wanted const& page) {
  if (page.name.group >= block.groups) return false;
  UserBlock::Pages const& pages = block.pages[page.name.group];
  return page.place.row < pages.rows && pages.page_bytes == page.bytes.size();
}

std::uint64_t PageReader::offset_of(UserBlock const& block, Wanted const& page) {
  UserBlock::Pages const& pages = block.pages[page.name.group];
  return pages.offset + page.place.row * pages.page_bytes;
}

/// From the page cache, or into it; each piece is summed while it is in the processor's cache.
void PageReader::read_buffered(Opened const& opened, Wanted& page) {
  std::uint64_t const offset = offset_of(opened.block, page);
  RunningChecksum sum(salt_of(page.name));
  try {
    for (std::size_t at = 0; at < page.bytes.size(); at += piece_bytes) {
      auto const piece = page.bytes.subspan(at, std::min(piece_bytes, page.bytes.size() - at));
      read_at(*opened.file, offset + at, piece);
      sum.add(piece);
    }
    page.result = sum.result() == page.place.checksum ? Result::ok : Result::damaged;
  } catch (FileError const&) {
    page.result = Result::damaged;
  }
}

/// Past the page cache. False where that cannot be, or fails.
bool PageReader::read_directly(Opened const& opened, Run run) {
  std::uint64_t const offset = offset_of(opened.block, *run.front());
  if (!opened.direct || !is_aligned(offset) || is_cached(*opened.file, offset)) return false;
  std::vector<iovec> pieces;
  for (Wanted const* page : run) {
    if (!is_aligned(page->bytes.data()) || !is_aligned(page->bytes.size())) return false;
    pieces.push_back({.iov_base = page->bytes.data(), .iov_len = page->bytes.size()});
  }
  if (move_pieces(*opened.direct, Transfer::read, offset, pieces) != 0) return false;
  for (Wanted* page : run) {
    bool const whole = checksum(page->bytes, salt_of(page->name)) == page->place.checksum;
    page->result = whole ? Result::ok : Result::damaged;
  }
  return true;
}

PageReader::Result PageReader::read(std::string const& file, PagePlace const& place, PageName const& name,
                                    std::span<std::byte> page) {
  Wanted wanted{.file = file, .place = place, .name = name, .bytes = page};
  Opened const& opened = open(file);
  if (!opened.file) return Result::missing;
  if (!lies_in(opened.block, wanted)) return Result::damaged;
  read_buffered(opened, wanted);
  return wanted.result;
}

void PageReader::read(std::span<Wanted> pages, ThreadTeam& team) {
  std::vector<Wanted*> order;
  for (Wanted& page : pages) {
    Opened const& opened = open(page.file);
    page.result = !opened.file ? Result::missing : Result::damaged;
    if (opened.file && lies_in(opened.block, page)) order.push_back(&page);
  }
  std::sort(order.begin(), order.end(), [](Wanted const* a, Wanted const* b) {
    auto const key = [](Wanted const* page) { return std::tie(page->file, page->name.group, page->place.row); };
    return key(a) < key(b);
  });
  std::vector<Run> runs;  // of neighbours in a file
  for (std::size_t first = 0, last = 0; first < order.size(); first = last) {
    std::size_t bytes = 0;
    do bytes += order[last++]->bytes.size();
    while (last < order.size() && bytes < run_bytes && follows(*order[last - 1], *order[last]));
    runs.push_back(std::span(order).subspan(first, last - first));
  }
  team.for_parts(std::int64_t(runs.size()), 1, [&](std::int64_t begin, std::int64_t end, int) {
    for (Run const run : std::span(runs).subspan(std::size_t(begin), std::size_t(end - begin))) {
      Opened const& opened = files_.at(run.front()->file);
      if (read_directly(opened, run)) continue;
      for (Wanted* page : run) read_buffered(opened, *page);
    }
  });
}

bool PageReader::follows(Wanted const& before, Wanted const& page) {
  return before.file == page.file && before.name.group == page.name.group && before.place.row + 1 == page.place.row;
}

}  // namespace windlass
