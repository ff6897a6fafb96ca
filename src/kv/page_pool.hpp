/// All pages of one tier on one rank for one layer group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/kv_layout.hpp"
#include "src/core/ids.hpp"

namespace windlass {

struct PagePoolConfig {
  KvShape shape;
  std::uint32_t pages = 0;  ///< >= 1
};

/// Pages are handed out zeroed and shared by reference counts; a page whose last reference goes is free again. All
/// operations are O(1) but for the zeroing. Local; one thread calls it.
class PagePool {
 public:
  /// Reserves pages * shape.page_bytes() of address space; physical memory is taken when a page is first used. Throws
  /// InputError where the shape is empty, there is no page, or the system refuses the reservation.
  explicit PagePool(PagePoolConfig const& config);

  /// A page full of zeros with one reference, the one freed last if there is one (it is warm). Nothing if all are used.
  std::optional<PageId> allocate();
  void retain(PageId page);   ///< one more reference to a page in use
  void release(PageId page);  ///< one less; the last one frees the page

  std::uint32_t references(PageId page) const;  ///< 0: free
  /// Changes whenever the page is handed out again: a reader that saw another value before has read foreign bytes.
  std::uint32_t generation(PageId page) const;

  std::uint32_t pages() const { return std::uint32_t(slots_.size()); }
  std::uint32_t free_pages() const { return std::uint32_t(free_.size()) + pages() - fresh_; }
  std::uint32_t used_pages() const { return pages() - free_pages(); }

  KvShape const& shape() const { return shape_; }
  KvView view(int layer) const { return {.base = memory_.get(), .shape = shape_, .layer = layer}; }
  std::span<std::byte> bytes(PageId page) const;  ///< [shape().page_bytes()]

 private:
  struct Unmap {
    std::size_t bytes = 0;
    void operator()(std::byte* memory) const;
  };
  struct Slot {
    std::uint32_t references = 0, generation = 0;
  };
  Slot& used_slot(PageId page);

  KvShape shape_;
  std::unique_ptr<std::byte, Unmap> memory_;
  std::vector<Slot> slots_;          // [pages]
  std::vector<std::uint32_t> free_;  // freed pages, the last one on top
  std::uint32_t fresh_ = 0;          // pages [fresh_, pages) have never been used: still zero, not yet in memory
};

}  // namespace windlass
