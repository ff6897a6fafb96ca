#include <algorithm>
#include <map>
#include <unordered_map>

#include "src/core/error.hpp"
#include "src/engine/engine_state.hpp"

namespace windlass {
namespace {

std::span<TokenId const> tokens_of_block(std::span<TokenId const> tokens, int block) {
  return tokens.subspan(std::size_t(block) * block_tokens, block_tokens);
}

Hash128 parent_of(std::span<Hash128 const> names, int block) {
  return block == 0 ? Hash128{} : names[std::size_t(block) - 1];
}

/// Collects blocks, each once, with whatever pages anybody has of them.
class BlockCollector {
 public:
  explicit BlockCollector(EngineSnapshot& out) : out_(out) {}

  void add(EngineSnapshot::Block const& block) {
    auto const [at, is_new] = places_.try_emplace(block.name, out_.blocks.size());
    if (is_new) {
      out_.blocks.push_back(block);
      out_.blocks.back().pages = {};
    }
    BlockPages& pages = out_.blocks[at->second].pages;
    for (std::size_t group = 0; group < out_.groups().size(); ++group) {
      if (pages[group] || !block.pages[group]) continue;
      out_.groups()[group].pool->retain(*block.pages[group]);
      pages[group] = block.pages[group];
    }
  }

 private:
  EngineSnapshot& out_;
  std::unordered_map<Hash128, std::size_t> places_;
};

bool has_progress(EngineSnapshot::InProgress const& request) {
  return std::any_of(request.choices.begin(), request.choices.end(), [](EngineSnapshot::Choice const& choice) {
    return choice.computed > 0 || !choice.progress.tokens.empty();
  });
}

}  // namespace

EngineSnapshot::~EngineSnapshot() {
  for (Block const& block : blocks)
    for (std::size_t group = 0; group < groups_.size(); ++group)
      if (block.pages[group]) groups_[group].pool->release(*block.pages[group]);
}

/// The choice's tokens and the copies of its partial pages; its full blocks go to `blocks`.
EngineSnapshot::Choice Engine::State::snapshot_of(ComputedChoice from,
                                                  std::vector<EngineSnapshot::Block>& blocks) const {
  int const full = from.computed / block_tokens;
  EngineSnapshot::Choice choice{.progress = std::move(from.progress),
                                .computed = from.computed,
                                .names = {from.names.begin(), from.names.begin() + full},
                                .partial = {}};
  for (int block = 0; block < full; ++block) {
    blocks.push_back({.name = from.names[std::size_t(block)], .parent = parent_of(from.names, block)});
    auto const tokens = tokens_of_block(from.tokens, block);
    std::copy(tokens.begin(), tokens.end(), blocks.back().tokens.begin());
    blocks.back().pages = from.pages->block(block);
  }
  if (from.computed % block_tokens == 0) return choice;
  choice.partial_pages = from.pages->block(full);
  for (std::size_t group = 0; group < groups.size(); ++group) {
    auto const bytes = groups[group].pool->bytes(choice.partial_pages[group].value());
    choice.partial[group].assign(bytes.begin(), bytes.end());
  }
  return choice;
}

/// All choices share the pages of what is computed.
EngineSnapshot::InProgress Engine::State::snapshot_of(DetachedRequest const& request,
                                                      std::vector<EngineSnapshot::Block>& blocks) {
  EngineSnapshot::InProgress out{
      .request = request.request, .answer = request.answer, .unfinished = request.unfinished};
  Hash128 const seed =
      seed_of({.tenant = request.request.cache_salt, .model = identity, .arithmetic = arithmetic, .kv_format = kv});
  for (DetachedChoice const& choice : request.choices) {
    auto tokens = request.request.prompt;
    tokens.insert(tokens.end(), choice.tokens.begin(), choice.tokens.end());
    auto const names = block_hashes(tokens, seed);
    out.choices.push_back(snapshot_of(
        {.progress = choice, .tokens = tokens, .names = names, .computed = request.computed, .pages = &request.pages},
        blocks));
  }
  return out;
}

std::unique_ptr<EngineSnapshot> Engine::State::snapshot(std::span<DetachedRequest const* const> travelling) {
  auto out = std::make_unique<EngineSnapshot>(groups);
  std::map<RequestId, std::size_t> places;
  std::vector<EngineSnapshot::Block> blocks;
  for (DetachedRequest const* request : travelling) out->requests.push_back(snapshot_of(*request, blocks));
  auto const add = [&](Sequence& sequence) {
    RequestState const& owner = sequence.owner();
    if (owner.cancelled) return;
    auto const [at, is_new] = places.try_emplace(owner.request.id, out->requests.size());
    if (is_new)
      out->requests.push_back({.request = owner.request, .answer = owner.answer, .unfinished = owner.unfinished});
    out->requests[at->second].choices.push_back(snapshot_of({.progress = sequence.progress(),
                                                             .tokens = sequence.tokens(),
                                                             .names = sequence.block_names(),
                                                             .computed = sequence.computed,
                                                             .pages = &sequence.pages},
                                                            blocks));
  };
  for (auto const& sequence : running) add(*sequence);
  for (auto const& sequence : held) add(*sequence);
  for (auto const& sequence : waiting) add(*sequence);
  std::erase_if(out->requests, [](auto const& request) { return !has_progress(request); });
  BlockCollector collector(*out);
  for (EngineSnapshot::Block const& block : blocks) collector.add(block);
  for (IndexedBlock const& block : index.contents())
    collector.add({.name = block.name, .parent = block.parent, .tokens = block.tokens, .pages = block.pages});
  return out;
}

std::optional<PageId> Engine::State::page_for(std::size_t group, WhenFull when_full) {
  PagePool& pool = *groups[group].pool;
  if (when_full == WhenFull::evict && pool.free_pages() == 0) index.evict(int(group), 1);
  return pool.allocate();
}

PageArchive::Block Engine::State::archived_block(PagesWanted const& wanted, int block) {
  return {.name = wanted.names[std::size_t(block)],
          .parent = parent_of(wanted.names, block),
          .tokens = tokens_of_block(wanted.tokens, block)};
}

/// Fills `found` [blocks] from block `first` on, as far as there is room and the archive has the pages; true where
/// nothing is missing.
bool Engine::State::read_pages(PagesWanted const& wanted, PageArchive& archive, int first,
                               std::span<BlockPages> found) {
  std::vector<PagePosition> places;
  std::vector<PageArchive::Page> pages;
  bool complete = true;
  for (int block = first; complete && block < int(found.size()); ++block)
    for (std::size_t group = 0; complete && group < groups.size(); ++group) {
      if (block < first_visible_block(wanted.positions, groups[group].window_tokens)) continue;
      auto const page = page_for(group, wanted.when_full);
      complete = page.has_value();
      if (!complete) break;
      found[std::size_t(block)][group] = page;
      places.push_back({.group = group, .block = block});
      pages.push_back({.group = int(group),
                       .of = archived(wanted, block),
                       .page = *page,
                       .bytes = groups[group].pool->bytes(*page)});
    }
  archive.read(pages, team);
  for (std::size_t i = 0; i < pages.size(); ++i) {
    if (pages[i].is_read) continue;
    auto& page = found[std::size_t(places[i].block)][places[i].group];
    groups[places[i].group].pool->release(*page);
    page.reset();
    complete = false;
  }
  return complete;
}

/// Of one block of what is wanted, the last, partial one included.
std::variant<PageArchive::Block, PageArchive::Partial> Engine::State::archived(PagesWanted const& wanted, int block) {
  if (block < wanted.positions / block_tokens) return archived_block(wanted, block);
  return PageArchive::Partial{.choice = wanted.choice, .computed = wanted.positions};
}

/// Pages for the first positions: those that are indexed, then those of the archive, up to the first that is missing.
PagesFetched Engine::State::fetch(PagesWanted const& wanted, PageArchive& archive) {
  auto const full = std::size_t(wanted.positions / block_tokens);
  PagesFetched out{.pages = SequencePages(groups), .cursor = {}, .positions = wanted.positions};
  std::vector<BlockPages> found;
  if (config.prefix_reuse == PrefixReuse::on) {
    auto match = index.match(wanted.tokens, wanted.names.first(full));
    found = std::move(match.blocks);
    out.cursor = match.cursor;
  }
  auto const have = int(found.size());
  found.resize(std::size_t(blocks_for(wanted.positions)));
  bool const complete = read_pages(wanted, archive, have, found);
  int const usable = complete ? int(found.size()) : usable_blocks(std::span(found).first(full), groups);
  if (!complete) out.positions = usable * block_tokens;
  for (std::size_t group = 0; group < groups.size(); ++group) {
    int const first = first_visible_block(out.positions, groups[group].window_tokens);
    for (int block = 0; block < int(found.size()); ++block) {
      auto& page = found[std::size_t(block)][group];
      if (!page || (block >= first && block < usable)) continue;
      groups[group].pool->release(*page);
      page.reset();
    }
  }
  out.pages.adopt(std::span(found).first(std::size_t(usable)));
  return out;
}

RestoredTokens Engine::State::restore(SavedProgress saved, PageArchive& archive) {
  RestoredTokens tokens;
  if (std::string why = refusal(saved.request); !why.empty()) {
    answer_error(saved.request.id, std::move(why));
    return tokens;
  }
  ensure(!saved.choices.empty(), "a request is restored without a choice");
  auto const state = new_request(std::move(saved.request));
  Microseconds const now = state->answer.submitted_us;
  bool const has_token = saved.answer.first_token_us > 0 || !saved.choices.front().progress.tokens.empty();
  state->answer = std::move(saved.answer);
  state->answer.id = state->request.id;
  state->answer.submitted_us = now;
  state->answer.first_token_us = has_token ? now : 0;
  state->unfinished = saved.unfinished;
  for (SavedProgress::Choice& choice : saved.choices) {
    auto sequence = std::make_unique<Sequence>(state, choice.progress.choice, groups, model);
    sequence->id = SequenceId{next_sequence++};
    sequence->resume(std::move(choice.progress));
    ensure(choice.computed < int(sequence->tokens().size()), "a restored sequence has nothing left to compute");
    auto fetched = fetch({.tokens = sequence->tokens(),
                          .names = sequence->block_names(),
                          .positions = choice.computed,
                          .choice = sequence->choice(),
                          .when_full = WhenFull::evict},
                         archive);
    sequence->pages = std::move(fetched.pages);
    sequence->cursor = fetched.cursor;
    sequence->computed = fetched.positions;
    index_blocks(*sequence);
    tokens.restored += fetched.positions;
    tokens.recomputed += choice.computed - fetched.positions;
    wait_last(std::move(sequence));
  }
  return tokens;
}

RestoredTokens Engine::State::restore_prefix(Request const& request, PageArchive& archive) {
  if (config.prefix_reuse == PrefixReuse::off || request.sampling.prompt_logprobs || request.prompt.empty()) return {};
  Hash128 const seed =
      seed_of({.tenant = request.cache_salt, .model = identity, .arithmetic = arithmetic, .kv_format = kv});
  std::span<TokenId const> const tokens(request.prompt.data(), request.prompt.size() - 1);
  auto const names = block_hashes(tokens, seed);
  PagesWanted wanted{.tokens = tokens, .names = names, .positions = 0, .choice = 0, .when_full = WhenFull::keep_all};
  int blocks = 0;
  while (blocks < int(names.size()) && archive.holds(archived_block(wanted, blocks))) ++blocks;
  if (blocks == 0) return {};
  auto known = index.match(tokens, std::span(names).first(std::size_t(blocks)));
  SequencePages const keeper = [&] {
    SequencePages pages(groups);
    pages.adopt(known.blocks);
    return pages;
  }();
  if (int(known.blocks.size()) == blocks) return {};
  wanted.positions = blocks * block_tokens;
  auto fetched = fetch(wanted, archive);
  int const usable = fetched.positions / block_tokens;
  index.insert(fetched.cursor, tokens, std::span(names).first(std::size_t(usable)), fetched.pages);
  return {.restored = fetched.positions - std::int64_t(known.blocks.size()) * block_tokens,
          .recomputed = wanted.positions - fetched.positions};
}

std::unique_ptr<EngineSnapshot> Engine::snapshot(std::span<DetachedRequest const* const> travelling) {
  return state_->snapshot(travelling);
}

RestoredTokens Engine::restore(SavedProgress saved, PageArchive& archive) {
  return state_->restore(std::move(saved), archive);
}

RestoredTokens Engine::restore_prefix(Request const& request, PageArchive& archive) {
  return state_->restore_prefix(request, archive);
}

}  // namespace windlass
