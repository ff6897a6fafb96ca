/// The merge loop that all kinds of BPE share.
#pragma once

#include <cstdint>
#include <queue>
#include <vector>

#include "src/model/tokenizer/word_model.hpp"

namespace windlass::detail {

/// Words up to this many symbols are merged by scanning an array: faster than a heap, whose constant is larger.
constexpr std::size_t max_scanned_symbols = 48;

/// Find: (Symbol const& left, Symbol const& right) -> Merge. Lowest rank first, leftmost first among equals.
template <class Find>
void merge_by_scanning(WordScratch& scratch, Find const& find) {
  auto& symbols = scratch.symbols;
  auto& merges = scratch.merges;  // merges[i] is that of symbols i and i + 1
  merges.clear();
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) merges.push_back(find(symbols[i], symbols[i + 1]));
  for (;;) {
    std::size_t best = merges.size();
    for (std::size_t i = 0; i < merges.size(); ++i)
      if (merges[i].result != no_token && (best == merges.size() || merges[i].rank < merges[best].rank)) best = i;
    if (best == merges.size()) return;
    symbols[best] = {merges[best].result, symbols[best].begin, symbols[best + 1].end};
    symbols.erase(symbols.begin() + std::ptrdiff_t(best) + 1);
    merges.erase(merges.begin() + std::ptrdiff_t(best));
    if (best > 0) merges[best - 1] = find(symbols[best - 1], symbols[best]);
    if (best < merges.size()) merges[best] = find(symbols[best], symbols[best + 1]);
  }
}

/// A merge that was possible when it was queued; stale if one of its symbols has changed since.
struct QueuedMerge {
  std::uint32_t rank;
  std::uint32_t left, right;  ///< indices of symbols
  std::uint32_t end;          ///< of the right symbol, in bytes: tells whether it has grown
  std::uint32_t middle;       ///< end of the left symbol
  TokenNumber result;
  bool operator<(QueuedMerge const& other) const {  // std::priority_queue has the largest on top
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

/// The same by a priority queue over a doubly linked list: O(n log n).
template <class Find>
class QueueMerger {
 public:
  QueueMerger(std::vector<Symbol>& symbols, Find const& find) : symbols_(symbols), find_(find) {
    previous_.resize(symbols.size());
    next_.resize(symbols.size());
    for (std::uint32_t i = 0; i < symbols.size(); ++i) {
      previous_[i] = i - 1;  // of the first: `none`
      next_[i] = i + 1 < symbols.size() ? i + 1 : none;
    }
    for (std::uint32_t i = 0; i < symbols.size(); ++i) offer(i);
  }

  void run() {
    while (!queue_.empty()) {
      QueuedMerge const merge = queue_.top();
      queue_.pop();
      bool const current = next_[merge.left] == merge.right && symbols_[merge.left].end == merge.middle &&
                           symbols_[merge.right].end == merge.end;
      if (current) apply(merge);
    }
    std::size_t kept = 0;
    for (std::uint32_t i = 0; i != none; i = next_[i]) symbols_[kept++] = symbols_[i];
    symbols_.resize(kept);
  }

 private:
  static constexpr std::uint32_t none = 0xFFFFFFFFu;

  void apply(QueuedMerge const& merge) {
    symbols_[merge.left].token = merge.result;
    symbols_[merge.left].end = symbols_[merge.right].end;
    std::uint32_t const after = next_[merge.right];
    next_[merge.right] = merge.right;  // no merge has equal sides: whatever was queued from here is stale
    next_[merge.left] = after;
    if (after != none) previous_[after] = merge.left;
    if (previous_[merge.left] != none) offer(previous_[merge.left]);
    offer(merge.left);
  }

  void offer(std::uint32_t left) {
    std::uint32_t const right = next_[left];
    if (right == none) return;
    Merge const merge = find_(symbols_[left], symbols_[right]);
    if (merge.result == no_token) return;
    queue_.push({merge.rank, left, right, symbols_[right].end, symbols_[left].end, merge.result});
  }

  std::vector<Symbol>& symbols_;
  Find const& find_;
  std::vector<std::uint32_t> previous_, next_;
  std::priority_queue<QueuedMerge> queue_;
};

template <class Find>
void merge_symbols(WordScratch& scratch, Find const& find) {
  if (scratch.symbols.size() <= max_scanned_symbols) return merge_by_scanning(scratch, find);
  QueueMerger<Find>(scratch.symbols, find).run();
}

}  // namespace windlass::detail
