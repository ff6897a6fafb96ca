#include "src/kv/sequence_pages.hpp"

#include <utility>

#include "src/core/error.hpp"
#include "src/kv/page_pool.hpp"

namespace windlass {

SequencePages::SequencePages(std::span<LayerGroup const> groups) : groups_(groups), tables_(groups.size()) {
  ensure(!groups.empty() && groups.size() <= std::size_t(max_layer_groups), "a model has 1 to 4 layer groups");
}

SequencePages::SequencePages(SequencePages&& other) noexcept
    : groups_(other.groups_), tables_(std::move(other.tables_)), blocks_(std::exchange(other.blocks_, 0)) {
  other.tables_.clear();
}

SequencePages& SequencePages::operator=(SequencePages&& other) noexcept {
  if (this == &other) return *this;
  release_all();
  groups_ = other.groups_;
  tables_ = std::exchange(other.tables_, {});
  blocks_ = std::exchange(other.blocks_, 0);
  return *this;
}

BlockPages SequencePages::block(int index) const {
  BlockPages pages;
  for (std::size_t group = 0; group < tables_.size(); ++group)
    if (index >= tables_[group].first && index < blocks_)
      pages[group] = PageId{tables_[group].pages[std::size_t(index)]};
  return pages;
}

bool SequencePages::ensure_positions(int positions) {
  int const missing = missing_blocks(positions);
  for (LayerGroup const& group : groups_)
    if (group.pool->free_pages() < std::uint32_t(missing)) return false;
  for (std::size_t group = 0; group < tables_.size(); ++group)
    for (int i = 0; i < missing; ++i) tables_[group].pages.push_back(number(groups_[group].pool->allocate().value()));
  blocks_ += missing;
  return true;
}

void SequencePages::adopt(std::span<BlockPages const> matched) {
  ensure(blocks_ == 0, "matched blocks are the start of a sequence");
  blocks_ = int(matched.size());
  for (std::size_t group = 0; group < tables_.size(); ++group) {
    Table& table = tables_[group];
    for (int i = 0; i < blocks_; ++i) {
      auto const& page = matched[std::size_t(i)][group];
      ensure(page || table.first == i, "matched blocks have a gap");
      if (!page) table.first = i + 1;
      table.pages.push_back(page ? number(*page) : 0);
    }
  }
}

void SequencePages::drop_behind_window(int position) {
  for (std::size_t group = 0; group < tables_.size(); ++group) {
    Table& table = tables_[group];
    int const keep = std::min(blocks_, first_visible_block(position, groups_[group].window_tokens));
    for (; table.first < keep; ++table.first)
      groups_[group].pool->release(PageId{std::exchange(table.pages[std::size_t(table.first)], 0)});
  }
}

void SequencePages::release_all() {
  for (std::size_t group = 0; group < tables_.size(); ++group) {
    Table& table = tables_[group];
    // Last block first: the pools hand out the page freed last, and the first blocks are the likelier to stay shared.
    for (int i = blocks_ - 1; i >= table.first; --i) groups_[group].pool->release(PageId{table.pages[std::size_t(i)]});
    table = {};
  }
  blocks_ = 0;
}

std::optional<SequencePages> SequencePages::fork(int positions) const {
  int const full = positions / block_tokens;
  bool const partial = positions % block_tokens != 0;
  ensure(blocks_for(positions) <= blocks_, "a fork cannot be longer than its origin");
  for (LayerGroup const& group : groups_)
    if (partial && group.pool->free_pages() == 0) return std::nullopt;
  SequencePages copy(groups_);
  copy.blocks_ = blocks_for(positions);
  for (std::size_t group = 0; group < tables_.size(); ++group) {
    PagePool& pool = *groups_[group].pool;
    Table const& from = tables_[group];
    Table& to = copy.tables_[group];
    to.first = std::min(from.first, copy.blocks_);
    to.pages.assign(from.pages.begin(), from.pages.begin() + copy.blocks_);
    for (int i = to.first; i < full; ++i) pool.retain(PageId{to.pages[std::size_t(i)]});
    if (!partial || to.first > full) continue;
    PageId const page = pool.allocate().value();
    pool.copy(PageId{from.pages[std::size_t(full)]}, page);
    to.pages[std::size_t(full)] = number(page);
  }
  return copy;
}

}  // namespace windlass
