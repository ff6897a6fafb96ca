#include "src/store/page_writer.hpp"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "src/core/checksum.hpp"
#include "src/core/error.hpp"
#include "src/store/checkpoint_block.hpp"
#include "src/store/direct_io.hpp"

namespace windlass {
namespace {

constexpr std::size_t run_bytes = std::size_t{8} << 20;

/// What the threads share: while one waits for the disk, another sums. Past the page cache, where that is possible: a
/// copy of everything there costs more time than the disk, and memory that others need.
class PageWriter {
 public:
  PageWriter(OpenFile const& file, std::span<PlacedPage const> pages, WriteManner const& manner)
      : file_(file), manner_(manner), direct_(open_direct(file.path(), O_WRONLY)) {
    std::size_t first = 0, bytes = 0;
    for (std::size_t i = 0; i < pages.size(); ++i) {
      bytes += pages[i].page_bytes;
      if (bytes < run_bytes && i + 1 < pages.size()) continue;
      runs_.push_back(pages.subspan(first, i + 1 - first));
      first = i + 1;
      bytes = 0;
    }
    if (!direct_) refuses_direct_ = true;
  }

  bool write() {
    {
      std::vector<std::jthread> helpers;
      int const threads = std::min(manner_.threads, int(runs_.size()));
      for (int thread = 1; thread < threads; ++thread) helpers.emplace_back([this] { work(); });
      work();
    }
    if (problem_) std::rethrow_exception(problem_);
    return !stop_;
  }

 private:
  void work() {
    try {
      for (std::size_t run = next_++; run < runs_.size() && !stop_; run = next_++) write_run(runs_[run]);
    } catch (...) {
      std::lock_guard const lock(mutex_);
      if (!problem_) problem_ = std::current_exception();
      stop_ = true;
    }
  }

  void write_run(std::span<PlacedPage const> run) {
    std::vector<PageToSave> pages;
    for (PlacedPage const& placed : run) pages.push_back(placed.page);
    for (std::size_t first = 0; first < run.size();) {
      std::size_t const here = fetched(std::span(pages).subspan(first));
      auto const bytes = std::span(pages).subspan(first, here);
      for (std::size_t i = 0; i < here; ++i) {
        sum(run[first + i], bytes[i].bytes);
        if (!keeps_pace(run[first + i].page_bytes)) return;
      }
      if (stop_) return;
      put(run.subspan(first, here), bytes);
      first += here;
    }
  }

  /// How many of the first pages have bytes now.
  std::size_t fetched(std::span<PageToSave> pages) {
    std::size_t here = 0;
    while (here < pages.size() && !pages[here].bytes.empty()) ++here;
    if (here > 0) return here;
    ensure(manner_.fetch != nullptr, "a page of a checkpoint has neither bytes nor anybody to fetch them");
    here = manner_.fetch(pages);
    if (here == 0) stop_ = true;
    return here;
  }

  static void sum(PlacedPage const& placed, std::span<std::byte const> bytes) {
    ensure(bytes.size() == placed.page_bytes, "a page of a checkpoint has another group's size");
    *placed.checksum = checksum(bytes, salt_of(placed.page.name));
  }

  /// Pages that follow each other in the file go together.
  void put(std::span<PlacedPage const> run, std::span<PageToSave const> pages) {
    for (std::size_t first = 0, last = 0; first < run.size(); first = last) {
      last = first + 1;
      while (last < run.size() && run[last].offset == run[last - 1].offset + run[last - 1].page_bytes) ++last;
      auto const stretch = run.subspan(first, last - first);
      auto const bytes = pages.subspan(first, last - first);
      if (!put_directly(stretch, bytes)) put_buffered(stretch, bytes);
    }
  }

  /// False where the file system wants it otherwise.
  bool put_directly(std::span<PlacedPage const> run, std::span<PageToSave const> pages) {
    if (refuses_direct_ || !is_aligned(run.front().offset) || !is_aligned(run.front().page_bytes)) return false;
    std::vector<AlignedMemory> copies;
    std::vector<iovec> pieces;
    for (PageToSave const& page : pages) {
      void const* from = page.bytes.data();
      if (!is_aligned(from)) {
        copies.push_back(aligned_memory(page.bytes.size()));
        std::memcpy(copies.back().get(), from, page.bytes.size());
        from = copies.back().get();
      }
      pieces.push_back({.iov_base = const_cast<void*>(from), .iov_len = page.bytes.size()});
    }
    int const error = move_pieces(*direct_, Transfer::write, run.front().offset, pieces);
    if (error == EINVAL) refuses_direct_ = true;
    if (error != 0 && error != EINVAL) throw FileError(file_.path(), "write", error);
    return error == 0;
  }

  /// The disk begins with each run at once.
  void put_buffered(std::span<PlacedPage const> run, std::span<PageToSave const> pages) const {
    for (std::size_t i = 0; i < run.size(); ++i) write_at(file_, run[i].offset, pages[i].bytes);
    std::uint64_t const begin = run.front().offset, end = run.back().offset + run.back().page_bytes;
    ::sync_file_range(file_.descriptor(), off_t(begin), off_t(end - begin), SYNC_FILE_RANGE_WRITE);
  }

  bool keeps_pace(std::uint64_t bytes) {
    if (stop_ || !manner_.pace) return !stop_;
    std::lock_guard const lock(mutex_);
    if (!manner_.pace(bytes)) stop_ = true;
    return !stop_;
  }

  OpenFile const& file_;
  WriteManner const& manner_;
  std::unique_ptr<OpenFile> direct_;  // null where there is no such thing
  std::atomic<bool> refuses_direct_ = false;
  std::vector<std::span<PlacedPage const>> runs_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> stop_ = false;
  std::mutex mutex_;
  std::exception_ptr problem_;  // under the mutex
};

}  // namespace

bool write_pages(OpenFile const& file, std::span<PlacedPage const> pages, WriteManner const& manner) {
  return PageWriter(file, pages, manner).write();
}

}  // namespace windlass
