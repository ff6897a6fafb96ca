/// Whole KV pages against the parts of them that the ranks of an instance hold.
#pragma once

#include <span>
#include <vector>

#include "src/core/collective.hpp"
#include "src/engine/page_parts.hpp"
#include "src/kv/page_pool.hpp"

namespace windlass {

/// Pages of one layer group: the part that every rank has, and on rank 0 the whole ones.
struct PageMove {
  std::size_t group = 0;
  PagePool* own = nullptr;
  std::span<std::uint32_t const> own_pages;  ///< the same numbers on all ranks
  PagePool* whole = nullptr;                 ///< null but on rank 0; of all layers of the group and all KV heads
  std::span<std::uint32_t const> whole_pages;
};

/// Collective over the instance. The parts of a page follow its tiles, so that nothing but bytes is moved.
class PageMover {
 public:
  PageMover(ModelSpec const& spec, Collective& collective);
  void gather(PageMove const& move);   ///< from the parts of all ranks into whole pages
  void scatter(PageMove const& move);  ///< the other way

 private:
  /// The tiles of all heads of one layer's K or V in one page.
  struct Strip {
    std::size_t page;  ///< which of the pages
    int layer;         ///< of the group
    int value;         ///< K: 0, V: 1
  };
  /// Strips [first, first + count) of the pages of a move.
  struct Piece {
    std::size_t first, count;
  };
  Strip strip(std::size_t group, std::size_t number) const;
  /// How many of a piece's strips a rank has a part of.
  std::size_t strips_of(PagePart const& part, std::size_t group, Piece const& piece) const;
  void pack_own(PageMove const& move, Piece const& piece);
  void unpack(PageMove const& move, Piece const& piece, std::span<std::byte const* const> shown);
  template <class Exchange>
  void in_pieces(PageMove const& move, Exchange const& exchange);

  int kv_heads_;
  Collective& collective_;
  std::vector<int> layers_;                   // [groups] of the whole model
  std::vector<std::vector<PagePart>> parts_;  // [groups][ranks]
  std::vector<std::size_t> bytes_;            // [ranks] of an exchange
};

}  // namespace windlass
