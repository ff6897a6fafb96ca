#include "src/engine/page_mover.hpp"

#include <algorithm>
#include <cstring>

namespace windlass {
namespace {

/// The tiles of all heads of one layer's K or V in one page.
struct Strip {
  std::size_t page, index;  ///< which of the pages; layer * 2 + (K: 0, V: 1)
};

Strip strip(std::size_t number, KvShape const& shape) {
  auto const of_page = std::size_t(shape.layers) * 2;
  return {.page = number / of_page, .index = number % of_page};
}

std::byte* tile(PagePool const& pool, std::uint32_t page, std::size_t strip, int head) {
  KvShape const& shape = pool.shape();
  return pool.bytes(PageId{page}).data() +
         (strip * std::size_t(shape.kv_heads) + std::size_t(head)) * shape.tile_bytes();
}

}  // namespace

PageMover::PageMover(ModelSpec const& spec, Collective& collective)
    : kv_heads_(spec.kv_heads), collective_(collective), bytes_(std::size_t(collective.degree())) {
  for (int rank = 0; rank < collective.degree(); ++rank)
    shards_.push_back(shard_of(spec, {.degree = collective.degree(), .rank = rank}));
}

/// Calls exchange(first strip, count) for as many strips at a time as an outbox holds.
template <class Exchange>
void PageMover::in_pieces(PageMove const& move, Exchange const& exchange) {
  KvShape const& shape = move.own->shape();
  std::size_t const strips = move.own_pages.size() * std::size_t(shape.layers) * 2;
  std::size_t const most = collective_.capacity_bytes() / (std::size_t(kv_heads_) * shape.tile_bytes());
  ensure(most > 0, "the KV of one layer and page does not fit into what ranks exchange at a time");
  for (std::size_t first = 0; first < strips; first += most) exchange(first, std::min(most, strips - first));
}

void PageMover::gather(PageMove const& move) {
  KvShape const& shape = move.own->shape();
  std::size_t const tile_bytes = shape.tile_bytes(), own_bytes = std::size_t(shape.kv_heads) * tile_bytes;
  in_pieces(move, [&](std::size_t first, std::size_t count) {
    std::byte* const out = collective_.outbox();
    for (std::size_t i = 0; i < count; ++i) {
      Strip const at = strip(first + i, shape);
      std::memcpy(out + i * own_bytes, tile(*move.own, move.own_pages[at.page], at.index, 0), own_bytes);
    }
    for (std::size_t rank = 0; rank < bytes_.size(); ++rank)
      bytes_[rank] = count * std::size_t(heads(rank)) * tile_bytes;
    auto const shown = collective_.exchange(bytes_);
    for (std::size_t rank = 0; rank < bytes_.size() && move.whole != nullptr; ++rank)
      for (std::size_t i = 0; i < count; ++i) {
        Strip const at = strip(first + i, shape);
        std::size_t const part = std::size_t(heads(rank)) * tile_bytes;
        std::memcpy(tile(*move.whole, move.whole_pages[at.page], at.index, shards_[rank].kv_heads.begin),
                    shown[rank] + i * part, part);
      }
  });
}

void PageMover::scatter(PageMove const& move) {
  KvShape const& shape = move.own->shape();
  std::size_t const tile_bytes = shape.tile_bytes(), whole_bytes = std::size_t(kv_heads_) * tile_bytes;
  auto const first_head = std::size_t(shards_[std::size_t(collective_.instance_rank())].kv_heads.begin);
  in_pieces(move, [&](std::size_t first, std::size_t count) {
    for (std::size_t i = 0; i < count && move.whole != nullptr; ++i) {
      Strip const at = strip(first + i, shape);
      std::memcpy(collective_.outbox() + i * whole_bytes, tile(*move.whole, move.whole_pages[at.page], at.index, 0),
                  whole_bytes);
    }
    std::fill(bytes_.begin(), bytes_.end(), 0);
    bytes_[0] = count * whole_bytes;
    std::byte const* const shown = collective_.exchange(bytes_)[0];
    for (std::size_t i = 0; i < count; ++i) {
      Strip const at = strip(first + i, shape);
      std::memcpy(tile(*move.own, move.own_pages[at.page], at.index, 0),
                  shown + i * whole_bytes + first_head * tile_bytes, std::size_t(shape.kv_heads) * tile_bytes);
    }
  });
}

}  // namespace windlass
