#include "kernels/cuda/emulated/thread_block.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/emulated/thread.hpp"
#include "src/core/error.hpp"

namespace windlass::cuda_emulated {
namespace {

constexpr std::size_t stack_bytes = std::size_t(128) << 10;

thread_local ThreadBlock* entered = nullptr;  ///< a stack is entered without arguments

}  // namespace

ThreadBlock::ThreadBlock(int threads, std::size_t shared_bytes)
    : fibers_(std::size_t(threads)), warps_(std::size_t(threads / warp_lanes)), shared_(shared_bytes) {
  ensure(threads > 0 && threads % warp_lanes == 0, "a thread block is made of whole warps");
  for (Fiber& fiber : fibers_) fiber.stack = std::make_unique_for_overwrite<std::byte[]>(stack_bytes);
}

void ThreadBlock::enter() {
  ThreadBlock& block = *entered;
  std::size_t const own = block.running_;
  (*block.kernel_)(Thread(block, int(own)));
  block.fibers_[own].done = true;
  block.scheduler_.switch_from(block.fibers_[own].place);
}

void ThreadBlock::start(Fiber& fiber) {
  fiber.place.start(fiber.stack.get(), stack_bytes, &ThreadBlock::enter);
  fiber.awaited = nullptr;
  fiber.done = false;
}

bool ThreadBlock::can_run(Fiber const& fiber) {
  return !fiber.done && (fiber.awaited == nullptr || fiber.awaited->round != fiber.awaited_round);
}

void ThreadBlock::run(Place place, std::function<void(Thread const&)> const& kernel) {
  place_ = place;
  kernel_ = &kernel;
  entered = this;
  std::fill(shared_.begin(), shared_.end(), std::byte{0xff});  // a kernel must not count on what it finds there
  all_ = {.members = threads()};
  for (Warp& warp : warps_) warp.barrier = {.members = warp_lanes};
  for (Fiber& fiber : fibers_) start(fiber);
  for (bool any = true; any;) {
    any = false;
    for (running_ = 0; running_ < fibers_.size(); ++running_) {
      if (!can_run(fibers_[running_])) continue;
      any = true;
      fibers_[running_].place.switch_from(scheduler_);
    }
  }
  ensure(std::all_of(fibers_.begin(), fibers_.end(), [](Fiber const& fiber) { return fiber.done; }),
         "threads of a kernel wait for threads that have left or wait elsewhere");
}

void ThreadBlock::wait(Barrier& barrier) {
  Fiber& own = fibers_[running_];
  own.awaited_round = barrier.round;
  if (++barrier.arrived == barrier.members) {
    barrier.arrived = 0;
    ++barrier.round;
    return;
  }
  own.awaited = &barrier;
  scheduler_.switch_from(own.place);
  own.awaited = nullptr;
}

ShownByWarp ThreadBlock::show_to_warp(int thread, void const* own, std::size_t bytes) {
  ensure(bytes <= most_shown_bytes, "a lane shows more than fits");
  Warp& warp = warps_[std::size_t(thread / warp_lanes)];
  auto& shown = warp.shown[std::size_t(warp.barrier.round % 2)];
  std::memcpy(shown[std::size_t(thread % warp_lanes)].data(), own, bytes);
  wait(warp.barrier);
  return {shown.data()};
}

}  // namespace windlass::cuda_emulated
