/// A queue of request numbers that is cheap to empty at once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace windlass {

class Fifo {
 public:
  bool empty() const { return head_ == items_.size(); }
  std::size_t size() const { return items_.size() - head_; }
  std::uint32_t front() const { return items_[head_]; }
  std::uint32_t operator[](std::size_t i) const { return items_[head_ + i]; }
  void push(std::uint32_t item) { items_.push_back(item); }

  /// Drops the first `count` items.
  void pop(std::size_t count = 1) {
    head_ += count;
    if (head_ == items_.size()) {
      items_.clear();
      head_ = 0;
    } else if (head_ > 4096 && head_ * 2 > items_.size()) {
      items_.erase(items_.begin(), items_.begin() + std::ptrdiff_t(head_));
      head_ = 0;
    }
  }

  /// Drops the item, wherever it is. Takes time in the queue's length.
  void remove(std::uint32_t item) {
    items_.erase(std::remove(items_.begin() + std::ptrdiff_t(head_), items_.end(), item), items_.end());
  }

  /// Appends the first `count` items to `taken` and drops them. All of them cost one swap where `taken` is empty.
  void take(std::size_t count, std::vector<std::uint32_t>& taken) {
    if (taken.empty() && head_ == 0 && count == items_.size()) {
      taken.swap(items_);
      return;
    }
    taken.insert(taken.end(), items_.begin() + std::ptrdiff_t(head_), items_.begin() + std::ptrdiff_t(head_ + count));
    pop(count);
  }

 private:
  std::vector<std::uint32_t> items_;
  std::size_t head_ = 0;
};

}  // namespace windlass
