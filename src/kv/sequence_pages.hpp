/// The page tables of one sequence.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "src/kv/layer_group.hpp"

namespace windlass {

/// Owns one reference on each page in its tables. In every group the pages in hand are those of blocks
/// [first_block(group), blocks()); entries before that stand for nothing and are never read. Local.
class SequencePages {
 public:
  /// `groups` (1 .. max_layer_groups of them) outlives this.
  explicit SequencePages(std::span<LayerGroup const> groups);
  ~SequencePages() { release_all(); }
  SequencePages(SequencePages&& other) noexcept;
  SequencePages& operator=(SequencePages&& other) noexcept;

  int blocks() const { return blocks_; }
  int first_block(int group) const { return tables_[std::size_t(group)].first; }
  /// [blocks()]; valid until the next call that changes the tables.
  std::uint32_t const* table(int group) const { return tables_[std::size_t(group)].pages.data(); }
  BlockPages block(int index) const;

  /// Pages that ensure(positions) would allocate, in each group.
  int missing_blocks(int positions) const { return std::max(0, blocks_for(positions) - blocks_); }
  /// Allocates pages up to position `positions` (exclusive). All or nothing: false, with nothing changed, where a pool
  /// has too few free pages.
  [[nodiscard]] bool ensure_positions(int positions);

  /// Takes over the references of matched blocks. The tables must be empty.
  void adopt(std::span<BlockPages const> matched);

  /// Gives up the pages of window groups that no row from `position` on reads.
  void drop_behind_window(int position);

  void release_all();

  /// A second sequence with the same first `positions` positions (all computed): it shares the pages of full blocks,
  /// and gets a copy of the last one if that is partial, since both go on to write there. Nothing, with nothing
  /// changed, where a pool lacks the page for the copy.
  std::optional<SequencePages> fork(int positions) const;

 private:
  struct Table {
    std::vector<std::uint32_t> pages;  // [blocks_]
    int first = 0;                     // first block whose page is in hand
  };

  std::span<LayerGroup const> groups_;
  std::vector<Table> tables_;  // [groups]
  int blocks_ = 0;
};

}  // namespace windlass
