/// The threads of one thread block as fibers of one host thread, for tests of kernels without a device.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/cuda/emulated/stack_switch.hpp"

namespace windlass::cuda_emulated {

class Thread;

constexpr int warp_lanes = 32;
constexpr std::size_t most_shown_bytes = 32;  ///< by one lane at a time

using ShownByLane = std::array<std::byte, most_shown_bytes>;

struct ShownByWarp {
  ShownByLane const* lanes = nullptr;  ///< [32]
  void const* of_lane(int lane) const { return lanes[lane].data(); }
};

/// A thread runs until it waits for others. Where all wait and none can go on, or a thread leaves while others wait for
/// it, the program ends: on a device that would be a hang or worse.
class ThreadBlock {
 public:
  /// `threads`: whole warps.
  ThreadBlock(int threads, std::size_t shared_bytes);
  void set_shared_bytes(std::size_t bytes) { shared_.resize(bytes); }

  struct Place {
    int block = 0, part = 0;  ///< of the grid
  };
  /// Runs `kernel` once as each thread.
  void run(Place place, std::function<void(Thread const&)> const& kernel);

  int threads() const { return int(fibers_.size()); }
  Place place() const { return place_; }
  std::byte* shared() { return shared_.data(); }

  // Of the running thread.
  void sync() { wait(all_); }
  ShownByWarp show_to_warp(int thread, void const* own, std::size_t bytes);

 private:
  struct Barrier {
    int members = 0, arrived = 0, round = 0;
  };
  struct Fiber {
    StackPlace place;
    std::unique_ptr<std::byte[]> stack;
    Barrier* awaited = nullptr;
    int awaited_round = 0;
    bool done = false;
  };
  struct Warp {
    Barrier barrier;
    std::array<std::array<ShownByLane, warp_lanes>, 2> shown{};  // two, so that one barrier per exchange is enough
  };
  static void enter();
  static bool can_run(Fiber const& fiber);
  void start(Fiber& fiber);
  void wait(Barrier& barrier);

  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  Barrier all_;
  std::vector<std::byte> shared_;
  Place place_;
  std::function<void(Thread const&)> const* kernel_ = nullptr;
  StackPlace scheduler_;
  std::size_t running_ = 0;
};

}  // namespace windlass::cuda_emulated
