#include "src/engine/page_mover.hpp"

#include <algorithm>
#include <cstring>

#include "src/engine/forward_pass.hpp"

namespace windlass {
namespace {

/// `strip`: 2 * layer of the pool's own ones + (K: 0, V: 1).
std::byte* tile(PagePool const& pool, std::uint32_t page, std::size_t strip, int head) {
  KvShape const& shape = pool.shape();
  return pool.bytes(PageId{page}).data() +
         (strip * std::size_t(shape.kv_heads) + std::size_t(head)) * shape.tile_bytes();
}

}  // namespace

PageMover::PageMover(ModelSpec const& spec, Collective& collective)
    : kv_heads_(spec.kv_heads),
      collective_(collective),
      layers_(layer_groups(spec).layers),
      parts_(page_parts(spec, {.tp = collective.stage().degree(), .stages = stages_of(collective)})),
      bytes_(std::size_t(collective.degree())) {}

PageMover::Strip PageMover::strip(std::size_t group, std::size_t number) const {
  auto const of_page = std::size_t(layers_[group]) * 2;
  return {.page = number / of_page, .layer = int(number % of_page / 2), .value = int(number % 2)};
}

std::size_t PageMover::strips_of(PagePart const& part, std::size_t group, Piece const& piece) const {
  std::size_t strips = 0;
  for (std::size_t i = 0; i < piece.count; ++i) strips += part.layers.contains(strip(group, piece.first + i).layer);
  return strips;
}

/// Calls exchange(piece) for as many strips at a time as an outbox holds.
template <class Exchange>
void PageMover::in_pieces(PageMove const& move, Exchange const& exchange) {
  std::size_t const strips = move.own_pages.size() * std::size_t(layers_[move.group]) * 2;
  std::size_t const most = collective_.capacity_bytes() / (std::size_t(kv_heads_) * move.own->shape().tile_bytes());
  ensure(most > 0, "the KV of one layer and page does not fit into what ranks exchange at a time");
  for (std::size_t first = 0; first < strips; first += most) exchange(Piece{first, std::min(most, strips - first)});
}

/// The strips that this rank has, one after the other, into its outbox.
void PageMover::pack_own(PageMove const& move, Piece const& piece) {
  PagePart const& own = parts_[move.group][std::size_t(collective_.instance_rank())];
  std::size_t const own_bytes = std::size_t(own.kv_heads.size()) * move.own->shape().tile_bytes();
  std::byte* out = collective_.outbox();
  for (std::size_t i = 0; i < piece.count; ++i) {
    Strip const at = strip(move.group, piece.first + i);
    if (!own.layers.contains(at.layer)) continue;
    auto const index = std::size_t(at.layer - own.layers.begin) * 2 + std::size_t(at.value);
    std::memcpy(out, tile(*move.own, move.own_pages[at.page], index, 0), own_bytes);
    out += own_bytes;
  }
}

/// What pack_own() of all ranks wrote, to its places in whole pages.
void PageMover::unpack(PageMove const& move, Piece const& piece, std::span<std::byte const* const> shown) {
  std::size_t const tile_bytes = move.own->shape().tile_bytes();
  for (std::size_t rank = 0; rank < shown.size(); ++rank) {
    PagePart const& part = parts_[move.group][rank];
    std::size_t const part_bytes = std::size_t(part.kv_heads.size()) * tile_bytes;
    std::byte const* from = shown[rank];
    for (std::size_t i = 0; i < piece.count; ++i) {
      Strip const at = strip(move.group, piece.first + i);
      if (!part.layers.contains(at.layer)) continue;
      auto const index = std::size_t(at.layer) * 2 + std::size_t(at.value);
      std::memcpy(tile(*move.whole, move.whole_pages[at.page], index, part.kv_heads.begin), from, part_bytes);
      from += part_bytes;
    }
  }
}

void PageMover::gather(PageMove const& move) {
  std::size_t const tile_bytes = move.own->shape().tile_bytes();
  in_pieces(move, [&](Piece const& piece) {
    pack_own(move, piece);
    for (std::size_t rank = 0; rank < bytes_.size(); ++rank) {
      PagePart const& part = parts_[move.group][rank];
      bytes_[rank] = strips_of(part, move.group, piece) * std::size_t(part.kv_heads.size()) * tile_bytes;
    }
    auto const shown = collective_.exchange(bytes_);
    if (move.whole != nullptr) unpack(move, piece, shown);
  });
}

void PageMover::scatter(PageMove const& move) {
  std::size_t const tile_bytes = move.own->shape().tile_bytes(), whole_bytes = std::size_t(kv_heads_) * tile_bytes;
  PagePart const& own = parts_[move.group][std::size_t(collective_.instance_rank())];
  auto const first_head = std::size_t(own.kv_heads.begin);
  in_pieces(move, [&](Piece const& piece) {
    for (std::size_t i = 0; i < piece.count && move.whole != nullptr; ++i) {
      Strip const at = strip(move.group, piece.first + i);
      auto const index = std::size_t(at.layer) * 2 + std::size_t(at.value);
      std::memcpy(collective_.outbox() + i * whole_bytes, tile(*move.whole, move.whole_pages[at.page], index, 0),
                  whole_bytes);
    }
    std::fill(bytes_.begin(), bytes_.end(), 0);
    bytes_[0] = piece.count * whole_bytes;
    std::byte const* const shown = collective_.exchange(bytes_)[0];
    for (std::size_t i = 0; i < piece.count; ++i) {
      Strip const at = strip(move.group, piece.first + i);
      if (!own.layers.contains(at.layer)) continue;
      auto const index = std::size_t(at.layer - own.layers.begin) * 2 + std::size_t(at.value);
      std::memcpy(tile(*move.own, move.own_pages[at.page], index, 0), shown + i * whole_bytes + first_head * tile_bytes,
                  std::size_t(own.kv_heads.size()) * tile_bytes);
    }
  });
}

}  // namespace windlass
