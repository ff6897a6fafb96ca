#include "src/serve/whole_pages.hpp"

#include <algorithm>
#include <chrono>
#include <vector>

namespace windlass {

void WholePages::complete(EngineSnapshot& snapshot) {
  for (EngineSnapshot::InProgress& request : snapshot.requests)
    for (EngineSnapshot::Choice& choice : request.choices)
      for (std::size_t group = 0; group < snapshot.groups().size(); ++group) {
        if (!choice.partial_pages[group]) continue;
        auto const staged = staging_.gather(group, std::span(&*choice.partial_pages[group], 1));
        ensure(staged->size() == 1, "a checkpoint finds no room to put a page together");
        choice.partial[group].assign(staged->bytes(0).begin(), staged->bytes(0).end());
      }
}

void WholePages::serve(Microseconds patience_us) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, std::chrono::microseconds(patience_us), [&] { return !asked_.empty(); })) return;
  std::uint32_t const group = asked_.front().name.group;
  std::size_t const most = std::max<std::size_t>(1, staging_.groups()[group].pool->pages() / 2);  // read() has the rest
  std::vector<PageId> own;
  for (PageToSave const& page : asked_) {
    if (page.name.group != group || !page.source || own.size() == most) break;
    own.push_back(*page.source);
  }
  staged_.reset();
  staged_ = staging_.gather(group, own);
  given_ = staged_->size();
  for (std::size_t i = 0; i < given_; ++i) asked_[i].bytes = staged_->bytes(i);
  if (given_ == 0) return;  // no room now
  asked_ = {};
  changed_.notify_all();
}

std::size_t WholePages::fetch(std::span<PageToSave> pages) {
  std::unique_lock lock(mutex_);
  if (stopped_) return 0;
  asked_ = pages;
  changed_.notify_all();
  changed_.wait(lock, [&] { return asked_.empty() || stopped_; });
  asked_ = {};
  return stopped_ ? 0 : given_;
}

void WholePages::stop() {
  std::lock_guard const lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
}

void WholePages::read(CheckpointFolder& folder, std::span<Wanted> pages, ThreadTeam& team) {
  for (std::size_t group = 0; group < staging_.groups().size(); ++group) {
    std::vector<Wanted*> of_group;
    for (Wanted& page : pages)
      if (page.name.group == group) of_group.push_back(&page);
    for (std::span<Wanted* const> rest = of_group; !rest.empty();) {
      auto const staged = staging_.reserve(group, rest.size());
      if (staged->size() == 0) break;  // what has no room counts as missing
      read(folder, rest.first(staged->size()), *staged, team);
      rest = rest.subspan(staged->size());
    }
  }
}

void WholePages::read(CheckpointFolder& folder, std::span<Wanted* const> pages, StagedPages const& staged,
                      ThreadTeam& team) {
  std::vector<CheckpointFolder::PageToRead> reads;
  for (std::size_t i = 0; i < pages.size(); ++i) reads.push_back({.name = pages[i]->name, .bytes = staged.bytes(i)});
  folder.read(reads, team);
  std::vector<std::size_t> good;
  std::vector<PageId> own;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    pages[i]->result = reads[i].result;
    if (reads[i].result != PageReader::Result::ok) continue;
    good.push_back(i);
    own.push_back(pages[i]->page);
  }
  staging_.scatter(staged, good, own);
}

}  // namespace windlass
