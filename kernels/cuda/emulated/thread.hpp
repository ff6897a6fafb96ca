/// One emulated thread of a kernel (kernels/cuda/thread.hpp), a fiber of a ThreadBlock.
#pragma once

#include <cstring>

#include "kernels/cuda/emulated/thread_block.hpp"

namespace windlass::cuda_emulated {

class Thread {
 public:
  Thread(ThreadBlock& block, int index) : block_(block), index_(index) {}

  int index() const { return index_; }
  int count() const { return block_.threads(); }
  int lane() const { return index_ % warp_lanes; }
  int warp() const { return index_ / warp_lanes; }
  int block() const { return block_.place().block; }
  int part() const { return block_.place().part; }

  void sync() const { block_.sync(); }
  template <class T>
  T shuffle_xor(T value, int mask) const {
    T other;
    std::memcpy(&other, block_.show_to_warp(index_, &value, sizeof value).of_lane(lane() ^ mask), sizeof other);
    return other;
  }
  template <class T>
  T* shared(unsigned offset_bytes = 0) const {
    return reinterpret_cast<T*>(block_.shared() + offset_bytes);
  }
  /// What all lanes of the warp show at this call.
  ShownByWarp show_to_warp(void const* own, std::size_t bytes) const { return block_.show_to_warp(index_, own, bytes); }

 private:
  ThreadBlock& block_;
  int index_;
};

}  // namespace windlass::cuda_emulated
