/// Whole KV pages against the parts of them that the ranks of an instance hold.
#pragma once

#include <span>
#include <vector>

#include "src/core/collective.hpp"
#include "src/kv/page_pool.hpp"
#include "src/model/shard.hpp"

namespace windlass {

/// Pages of one layer group: the part that every rank has, and on rank 0 the whole ones.
struct PageMove {
  PagePool* own = nullptr;
  std::span<std::uint32_t const> own_pages;  ///< the same numbers on all ranks
  PagePool* whole = nullptr;                 ///< null but on rank 0; of all KV heads
  std::span<std::uint32_t const> whole_pages;
};

/// Collective over the instance. The parts of a page follow its tiles, so that nothing but bytes is moved.
class PageMover {
 public:
  PageMover(ModelSpec const& spec, Collective& collective);
  void gather(PageMove const& move);   ///< from the parts of all ranks into whole pages
  void scatter(PageMove const& move);  ///< the other way

 private:
  template <class Exchange>
  void in_pieces(PageMove const& move, Exchange const& exchange);
  int heads(std::size_t rank) const { return shards_[rank].kv_heads.size(); }

  int kv_heads_;
  Collective& collective_;
  std::vector<Shard> shards_;       // [ranks]
  std::vector<std::size_t> bytes_;  // [ranks]
};

}  // namespace windlass
