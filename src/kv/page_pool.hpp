/// All pages of one tier on one rank for one layer group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/kv_layout.hpp"
#include "kernels/memory.hpp"
#include "src/core/ids.hpp"

namespace windlass {

/// Memory that pages of several processes lie in: all of them map all of it.
struct PageMemory {
  std::byte* base = nullptr;    ///< where page 0 starts; the pages from `first_page` on are zero and this process's own
  std::uint32_t all_pages = 0;  ///< of all processes
  std::uint32_t first_page = 0;
  std::shared_ptr<void> keeper;  ///< keeps the mapping alive
};

/// What other ranks of an instance have to do to their pages of the same number.
struct PageChange {
  PageId from{}, to{};  ///< equal: zeroed; else copied
  bool operator==(PageChange const&) const = default;
};
enum class PageChanges : std::uint8_t { forgotten, recorded };

struct PagePoolConfig {
  KvShape shape;
  std::uint32_t pages = 0;                       ///< >= 1
  std::shared_ptr<PageMemory> memory = nullptr;  ///< null: memory of its own
  PageChanges changes = PageChanges::forgotten;
  Memory const* space = &host_memory;  ///< of its own memory, and how its pages are zeroed and copied
};

/// Pages are handed out zeroed and shared by reference counts; a page whose last reference goes is free again. All
/// operations are O(1) but for the zeroing. Local; one thread calls it.
/// In memory that several processes share, each pool hands out its own pages, and may hold borrowed ones of the others:
/// the lender keeps a reference to them until they are given back.
class PagePool {
 public:
  /// Reserves pages * shape.page_bytes() of address space; physical memory is taken when a page is first used. Pages of
  /// no layers have numbers and no bytes. Throws InputError where the shape is impossible, there is no page, or the
  /// system refuses the reservation.
  explicit PagePool(PagePoolConfig const& config);

  /// A page full of zeros with one reference, the one freed last if there is one (it is warm). Nothing if all are used.
  std::optional<PageId> allocate();
  void retain(PageId page);   ///< one more reference to a page in use
  void release(PageId page);  ///< one less; the last one frees the page

  /// Takes another process's page into use, with one reference (one more if it is borrowed already).
  void borrow(PageId page);
  struct Returned {
    PageId page{};
    std::uint32_t loans = 0;  ///< calls of borrow() that this ends
    bool operator==(Returned const&) const = default;
  };
  /// Borrowed pages whose last reference went since the last call: their owners may have them back.
  std::vector<Returned> take_returned() { return std::exchange(returned_, {}); }
  bool is_own(PageId page) const { return number(page) - first_ < pages_; }
  std::uint32_t first_page() const { return first_; }

  void copy(PageId from, PageId to);  ///< the bytes of one page into another
  /// With PageChanges::recorded: pages that were zeroed or copied since the last call, in that order.
  std::vector<PageChange> take_changes() { return std::exchange(changes_, {}); }
  /// Does to this pool's pages what another one did to its own.
  void repeat(std::span<PageChange const> changes);

  std::uint32_t references(PageId page) const;  ///< 0: free
  /// Changes whenever the page is handed out again: a reader that saw another value before has read foreign bytes.
  std::uint32_t generation(PageId page) const;

  std::uint32_t pages() const { return pages_; }  ///< of its own
  std::uint32_t free_pages() const { return std::uint32_t(free_.size()) + pages_ - fresh_; }
  std::uint32_t used_pages() const { return pages() - free_pages(); }

  KvShape const& shape() const { return shape_; }
  KvView view(int layer) const { return {.base = base_, .shape = shape_, .layer = layer}; }
  std::span<std::byte> bytes(PageId page) const;  ///< [shape().page_bytes()]

 private:
  struct Slot {
    std::uint32_t references = 0, generation = 0;
    std::uint32_t loans = 0;  // of a borrowed page, since it was last given back
  };
  Slot& used_slot(PageId page);
  void record(PageChange change);

  KvShape shape_;
  PageChanges records_;
  std::vector<PageChange> changes_;
  Memory const* space_;
  std::shared_ptr<std::byte> memory_;  // null where the memory is shared
  std::shared_ptr<PageMemory> shared_;
  std::byte* base_ = nullptr;
  std::uint32_t first_ = 0, pages_ = 0;
  std::vector<Slot> slots_;  // [all pages]
  std::vector<Returned> returned_;
  std::vector<std::uint32_t> free_;  // freed pages, the last one on top
  std::uint32_t fresh_ = 0;          // own pages [fresh_, pages_) have never been used: still zero, not yet in memory
};

}  // namespace windlass
