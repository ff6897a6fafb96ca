/// Whole pages on the leader of an instance of several ranks: how KV comes to it from other instances, and goes to
/// them, whatever their degrees are.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "src/engine/engine.hpp"
#include "src/engine/page_mover.hpp"
#include "src/kv/sequence_pages.hpp"

namespace windlass {

/// Whole pages of one group, while they are needed. It goes before the staging.
class StagedPages {
 public:
  StagedPages(PagePool& pool, std::size_t group, std::size_t most);  ///< as many as there is room for
  ~StagedPages();
  StagedPages(StagedPages const&) = delete;
  StagedPages& operator=(StagedPages const&) = delete;

  std::size_t group() const { return group_; }
  std::size_t size() const { return pages_.size(); }
  std::span<std::byte> bytes(std::size_t i) const { return pool_.bytes(PageId{pages_[i]}); }
  std::span<std::uint32_t const> pages() const { return pages_; }

 private:
  PagePool& pool_;
  std::size_t group_;
  std::vector<std::uint32_t> pages_;
};

/// Its pools have the pages of an instance of one rank, so that instances of all degrees hand over the same bytes. The
/// leader's engine thread calls it, between two steps; gather() and scatter() are collective over the instance (the
/// others take part in Follower::step).
class KvStaging {
 public:
  /// All of it outlives the staging.
  KvStaging(Engine& engine, Model const& model, Collective& collective);
  ~KvStaging();

  std::span<LayerGroup const> groups() const { return groups_; }
  /// Pages for what a row behind the first `positions` ones reads; nothing where there is no room now.
  std::optional<SequencePages> reserve(int positions);
  /// Whole copies of `pages`, which are the engine's; nothing where there is no room now.
  std::optional<SequencePages> gather(SequencePages const& pages, int positions);
  /// Whole copies of the first of `own`, pages of the engine's group: as many as there is room for.
  std::unique_ptr<StagedPages> gather(std::size_t group, std::span<PageId const> own);
  /// Room for whole pages, to be filled.
  std::unique_ptr<StagedPages> reserve(std::size_t group, std::size_t most);
  /// Puts the whole pages at `which` of `staged` into `own` [which], the engine's.
  void scatter(StagedPages const& staged, std::span<std::size_t const> which, std::span<PageId const> own);
  /// Puts whole pages into the engine's `pages`.
  void scatter(SequencePages const& staged, SequencePages const& pages, int positions);

 private:
  /// [groups] pages of the blocks that a row behind `positions` reads.
  std::vector<std::vector<std::uint32_t>> visible(SequencePages const& pages, int positions) const;
  PageMove move_of(std::size_t group, std::span<std::uint32_t const> own, std::span<std::uint32_t const> whole);

  Engine& engine_;
  Collective& collective_;
  PageMover mover_;
  std::vector<std::unique_ptr<PagePool>> pools_;  // [groups]
  std::vector<LayerGroup> groups_;
};

}  // namespace windlass
