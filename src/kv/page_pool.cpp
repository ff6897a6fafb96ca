#include "src/kv/page_pool.hpp"

#include <limits>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

std::size_t checked_bytes(PagePoolConfig const& config) {
  KvShape const& shape = config.shape;
  if (shape.layers < 0 || shape.kv_heads < 1 || shape.head_dim < 2 || shape.head_dim % 2 != 0)
    throw InputError(text("KV pages of ", shape.layers, " layers, ", shape.kv_heads, " KV heads and head_dim ",
                          shape.head_dim, " are impossible: none may be negative, heads positive, head_dim even"));
  if (config.pages == 0)
    throw InputError(
        text("the KV pool holds no page: one takes ", shape.page_bytes(), " bytes; raise --kv-cache-memory"));
  if (shape.layers == 0) return 1;  // memory has an address, whatever is in it
  if (config.pages > std::numeric_limits<std::size_t>::max() / shape.page_bytes())
    throw InputError(
        text("a KV pool of ", config.pages, " pages does not fit into the address space; lower --kv-cache-memory"));
  return config.pages * shape.page_bytes();
}

std::shared_ptr<std::byte> reserve(PagePoolConfig const& config) {
  std::size_t const bytes = checked_bytes(config);
  try {
    return config.space->allocate(bytes, MemoryUse::pages);
  } catch (FileError const& error) {
    throw InputError(text("cannot reserve ", bytes, " bytes for the KV pool (", error.what(),
                          "); lower --kv-cache-memory or raise the limit on address space (ulimit -v)"));
  }
}

}  // namespace

PagePool::PagePool(PagePoolConfig const& config)
    : shape_(config.shape),
      records_(config.changes),
      space_(config.space),
      memory_(config.memory ? nullptr : reserve(config)),
      shared_(config.memory),
      base_(shared_ ? shared_->base : memory_.get()),
      first_(shared_ ? shared_->first_page : 0),
      pages_(config.pages),
      slots_(shared_ ? shared_->all_pages : config.pages) {
  ensure(first_ + std::uint64_t(pages_) <= slots_.size(), "a pool's own pages lie outside of the shared memory");
  free_.reserve(config.pages);
}

std::optional<PageId> PagePool::allocate() {
  std::uint32_t index = 0;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
    space_->zero(bytes(PageId{index}));
    record({PageId{index}, PageId{index}});
  } else if (fresh_ < pages_) {
    index = first_ + fresh_++;
  } else {
    return std::nullopt;
  }
  slots_[index].references = 1;
  ++slots_[index].generation;
  return PageId{index};
}

void PagePool::retain(PageId page) { ++used_slot(page).references; }

void PagePool::release(PageId page) {
  Slot& slot = used_slot(page);
  if (--slot.references > 0) return;
  if (is_own(page))
    free_.push_back(number(page));
  else
    returned_.push_back({page, std::exchange(slot.loans, 0)});
}

void PagePool::record(PageChange change) {
  if (records_ == PageChanges::recorded) changes_.push_back(change);
}

void PagePool::copy(PageId from, PageId to) {
  space_->copy(bytes(to), bytes(from).data());
  record({from, to});
}

void PagePool::repeat(std::span<PageChange const> changes) {
  for (auto const& [from, to] : changes) {
    ensure(number(from) < slots_.size() && number(to) < slots_.size(), "a page id lies outside of its pool");
    if (from == to)
      space_->zero(bytes(to));
    else
      copy(from, to);
  }
}

void PagePool::borrow(PageId page) {
  ensure(number(page) < slots_.size() && !is_own(page), "a page is borrowed that no other process owns");
  Slot& slot = slots_[number(page)];
  ++slot.references;
  ++slot.loans;
}

std::uint32_t PagePool::references(PageId page) const { return slots_.at(number(page)).references; }

std::uint32_t PagePool::generation(PageId page) const { return slots_.at(number(page)).generation; }

std::span<std::byte> PagePool::bytes(PageId page) const {
  return {base_ + number(page) * shape_.page_bytes(), shape_.page_bytes()};
}

PagePool::Slot& PagePool::used_slot(PageId page) {
  ensure(number(page) < slots_.size(), "a page id lies outside of its pool");
  Slot& slot = slots_[number(page)];
  ensure(slot.references > 0, "a free page was retained or released");
  return slot;
}

}  // namespace windlass
