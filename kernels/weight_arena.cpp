#include "kernels/weight_arena.hpp"

#include <algorithm>
#include <cstdint>

#include "src/core/error.hpp"

namespace windlass {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t huge_page = std::size_t(1) << 21;

std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

WeightArena::WeightArena(WeightMemory memory)
    : space_(memory.space), region_(std::move(memory.owner)), free_(memory.bytes), filling_(memory.filling) {
  if (free_.empty() && filling_ == Filling::here) region_bytes_ = std::size_t(1) << 30;
}

WeightArena::Part WeightArena::allocate(std::size_t bytes) {
  std::size_t const taken = round_up(std::max<std::size_t>(bytes, 1), alignment);
  taken_bytes_ += taken;
  if (filling_ == Filling::nobody) return {.bytes = {static_cast<std::byte*>(nullptr), bytes}, .owner = nullptr};
  if (taken > free_.size()) {
    ensure(region_bytes_ > 0, "the memory for the weights is smaller than they are");
    settle();
    std::size_t const size = round_up(std::max(taken, region_bytes_), huge_page) + huge_page;
    auto const region = space_->allocate(size, MemoryUse::weights);
    region_ = region;
    auto const address = reinterpret_cast<std::uintptr_t>(region.get());
    std::size_t const skip = round_up(address, huge_page) - address;
    all_ = free_ = {region.get() + skip, size - skip};
  }
  Part part{.bytes = free_.first(bytes), .owner = region_};
  free_ = free_.subspan(taken);
  return part;
}

void WeightArena::settle() const {
  if (!all_.empty()) space_->settle(all_.first(all_.size() - free_.size()));
}

}  // namespace windlass
