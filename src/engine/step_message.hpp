/// What the leader of an instance tells its other ranks: the step to compute, or that there is nothing more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "src/engine/forward_pass.hpp"
#include "src/kv/page_pool.hpp"

namespace windlass {

enum class StepKind : std::uint32_t {
  compute,
  gather_pages,   ///< parts of pages go to the leader (page_mover.hpp)
  scatter_pages,  ///< and come from it
  end
};

struct StepMessage {
  StepKind kind = StepKind::end;
  Batch batch;
  std::vector<std::vector<PageChange>> changes;   ///< [groups] to be made before the step, in this order
  std::vector<std::vector<std::uint32_t>> pages;  ///< what decode_step()'s batch points into; or [groups] pages to move
};

/// [groups] what was done to the pages of a leader since the last message.
std::vector<std::vector<PageChange>> take_changes(std::span<LayerGroup const> groups);

/// `batch` and `changes` of a step as bytes. Logits are the leader's alone: what it does with them is not told.
std::vector<std::byte> encode_step(Batch const& batch, std::span<std::vector<PageChange> const> changes);
std::vector<std::byte> encode_pages(StepKind kind, std::span<std::vector<PageChange> const> changes,
                                    std::span<std::vector<std::uint32_t> const> pages);
std::vector<std::byte> encode_end();

StepMessage decode_step(std::span<std::byte const> bytes);

}  // namespace windlass
