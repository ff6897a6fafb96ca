#include "src/engine/kv_staging.hpp"

#include <algorithm>

#include "src/engine/forward_pass.hpp"
#include "src/engine/step_message.hpp"

namespace windlass {

StagedPages::StagedPages(PagePool& pool, std::size_t group, std::size_t most) : pool_(pool), group_(group) {
  while (pages_.size() < most) {
    auto const page = pool_.allocate();
    if (!page) break;
    pages_.push_back(number(*page));
  }
}

StagedPages::~StagedPages() {
  for (std::uint32_t const page : pages_) pool_.release(PageId{page});
}

KvStaging::KvStaging(Engine& engine, Model const& model, Collective& collective)
    : engine_(engine), collective_(collective), mover_(model.spec, collective) {
  for (LayerGroup const& group : engine.groups()) {
    KvShape shape = group.pool->shape();
    shape.layers = layer_groups(model.spec).layers[groups_.size()];
    shape.kv_heads = model.spec.kv_heads;
    auto const enough =
        std::uint32_t(2 * blocks_for(model.max_model_len));  // requests of the longest kind fit in twice
    pools_.push_back(
        std::make_unique<PagePool>(PagePoolConfig{.shape = shape, .pages = std::min(group.pool->pages(), enough)}));
    groups_.push_back({.pool = pools_.back().get(), .window_tokens = group.window_tokens});
  }
}

KvStaging::~KvStaging() = default;

std::vector<std::vector<std::uint32_t>> KvStaging::visible(SequencePages const& pages, int positions) const {
  std::vector<std::vector<std::uint32_t>> found(groups_.size());
  for (std::size_t group = 0; group < groups_.size(); ++group)
    for (int block = first_visible_block(positions, groups_[group].window_tokens); block < blocks_for(positions);
         ++block)
      found[group].push_back(number(*pages.block(block)[group]));
  return found;
}

std::optional<SequencePages> KvStaging::reserve(int positions) {
  int const blocks = blocks_for(positions);
  for (LayerGroup const& group : groups_)
    if (int(group.pool->free_pages()) < blocks - first_visible_block(positions, group.window_tokens))
      return std::nullopt;
  std::vector<BlockPages> reserved(std::size_t(blocks), BlockPages{});
  for (std::size_t group = 0; group < groups_.size(); ++group)
    for (int block = first_visible_block(positions, groups_[group].window_tokens); block < blocks; ++block)
      reserved[std::size_t(block)][group] = groups_[group].pool->allocate();
  SequencePages pages(groups_);
  pages.adopt(reserved);
  return pages;
}

PageMove KvStaging::move_of(std::size_t group, std::span<std::uint32_t const> own,
                            std::span<std::uint32_t const> whole) {
  return {.group = group,
          .own = engine_.groups()[group].pool,
          .own_pages = own,
          .whole = groups_[group].pool,
          .whole_pages = whole};
}

std::optional<SequencePages> KvStaging::gather(SequencePages const& pages, int positions) {
  auto staged = reserve(positions);
  if (!staged) return std::nullopt;
  auto const own = visible(pages, positions), whole = visible(*staged, positions);
  collective_.announce(encode_pages(StepKind::gather_pages, take_changes(engine_.groups()), own));
  for (std::size_t group = 0; group < groups_.size(); ++group) mover_.gather(move_of(group, own[group], whole[group]));
  return staged;
}

std::unique_ptr<StagedPages> KvStaging::reserve(std::size_t group, std::size_t most) {
  return std::make_unique<StagedPages>(*groups_[group].pool, group, most);
}

std::unique_ptr<StagedPages> KvStaging::gather(std::size_t group, std::span<PageId const> own) {
  auto staged = reserve(group, own.size());
  std::vector<std::vector<std::uint32_t>> pages(groups_.size());
  for (PageId const page : own.first(staged->size())) pages[group].push_back(number(page));
  collective_.announce(encode_pages(StepKind::gather_pages, take_changes(engine_.groups()), pages));
  mover_.gather(move_of(group, pages[group], staged->pages()));
  return staged;
}

void KvStaging::scatter(StagedPages const& staged, std::span<std::size_t const> which, std::span<PageId const> own) {
  if (which.empty()) return;
  std::vector<std::vector<std::uint32_t>> pages(groups_.size());
  std::vector<std::uint32_t> whole;
  for (PageId const page : own) pages[staged.group()].push_back(number(page));
  for (std::size_t const i : which) whole.push_back(staged.pages()[i]);
  collective_.announce(encode_pages(StepKind::scatter_pages, take_changes(engine_.groups()), pages));
  mover_.scatter(move_of(staged.group(), pages[staged.group()], whole));
}

void KvStaging::scatter(SequencePages const& staged, SequencePages const& pages, int positions) {
  auto const own = visible(pages, positions), whole = visible(staged, positions);
  collective_.announce(encode_pages(StepKind::scatter_pages, take_changes(engine_.groups()), own));
  for (std::size_t group = 0; group < groups_.size(); ++group) mover_.scatter(move_of(group, own[group], whole[group]));
}

}  // namespace windlass
