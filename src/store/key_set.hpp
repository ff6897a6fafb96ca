/// A set of 128-bit hashes in one flat table: 22 to 43 bytes per key, for millions of finished requests.
#pragma once

#include <cstddef>
#include <vector>

#include "src/core/hash.hpp"

namespace windlass {

/// Local. Keys are hashes already, so their low half is the hash of the table.
class KeySet {
 public:
  std::size_t size() const { return size_; }

  bool contains(Hash128 key) const {
    if (key == empty_slot) return has_zero_;
    return !slots_.empty() && slots_[slot_of(key)] == key;
  }

  /// False where the key was there already.
  bool insert(Hash128 key) {
    if (contains(key)) return false;
    ++size_;
    if (key == empty_slot) return has_zero_ = true;
    if (4 * size_ > 3 * slots_.size()) grow();
    slots_[slot_of(key)] = key;
    return true;
  }

 private:
  static constexpr Hash128 empty_slot{};

  /// Where the key is, or the empty slot where it belongs.
  std::size_t slot_of(Hash128 key) const {
    std::size_t const mask = slots_.size() - 1;
    std::size_t slot = std::size_t(key.low) & mask;
    while (slots_[slot] != empty_slot && slots_[slot] != key) slot = (slot + 1) & mask;
    return slot;
  }

  void grow() {
    std::vector<Hash128> old(slots_.empty() ? 64 : 2 * slots_.size());
    old.swap(slots_);
    for (Hash128 const key : old)
      if (key != empty_slot) slots_[slot_of(key)] = key;
  }

  std::vector<Hash128> slots_;  ///< a power of two, at most 3/4 full
  std::size_t size_ = 0;
  bool has_zero_ = false;
};

}  // namespace windlass
