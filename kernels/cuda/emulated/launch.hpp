/// kernels/cuda/launch.hpp without a device: thread blocks run one after the other on the caller's thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kernels/cuda/emulated/thread.hpp"
#include "kernels/cuda/launch_shape.hpp"
#include "kernels/queue.hpp"
#include "src/core/error.hpp"

namespace windlass::cuda_emulated {

constexpr std::size_t most_shared_bytes = 99 << 10;  ///< of the smallest devices that are supported (8.6, 8.9, 12.0)

/// While there is one, launches of this thread are noted in it and not run.
class LaunchRecord {
 public:
  struct Noted {
    std::string kernel;
    LaunchShape shape;
  };
  LaunchRecord() { current() = this; }
  ~LaunchRecord() { current() = nullptr; }
  LaunchRecord(LaunchRecord const&) = delete;
  LaunchRecord& operator=(LaunchRecord const&) = delete;

  std::vector<Noted> const& launches() const { return launches_; }
  void note(Noted noted) { launches_.push_back(std::move(noted)); }
  static LaunchRecord*& current() {
    thread_local LaunchRecord* record = nullptr;
    return record;
  }

 private:
  std::vector<Noted> launches_;
};

/// This thread's block of so many threads: their stacks are kept from launch to launch.
inline ThreadBlock& kept_block(int threads, std::size_t shared_bytes) {
  thread_local std::map<int, ThreadBlock> blocks;
  ThreadBlock& block = blocks.try_emplace(threads, threads, shared_bytes).first->second;
  block.set_shared_bytes(shared_bytes);
  return block;
}

template <class Kernel>
void launch(Kernel const& kernel, LaunchShape const& shape, Queue const&) {
  if (shape.is_empty()) return;
  if (LaunchRecord* const record = LaunchRecord::current()) return record->note({Kernel::name, shape});
  ensure(shape.is_possible(most_shared_bytes) && shape.threads <= Kernel::threads, Kernel::name);
  ThreadBlock& block = kept_block(shape.threads, shape.shared_bytes);
  for (int part = 0; part < shape.parts; ++part)
    for (int i = 0; i < shape.blocks; ++i) block.run({.block = i, .part = part}, kernel);
}

template <class T>
T const* upload(std::span<T const> list) {
  return list.data();
}

}  // namespace windlass::cuda_emulated
