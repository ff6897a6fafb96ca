#include <algorithm>

#include "src/engine/engine_state.hpp"

namespace windlass {

namespace {

bool goes_before(std::unique_ptr<Sequence> const& a, std::unique_ptr<Sequence> const& b) {
  return a->request().priority < b->request().priority;
}

}  // namespace

void Engine::State::run(std::unique_ptr<Sequence> sequence) {
  auto const at = std::upper_bound(running.begin(), running.end(), sequence, goes_before);
  running.insert(at, std::move(sequence));
}

/// Before those of its priority that wait.
void Engine::State::wait_first(std::unique_ptr<Sequence> sequence) {
  auto const at = std::lower_bound(waiting.begin(), waiting.end(), sequence, goes_before);
  waiting.insert(at, std::move(sequence));
}

/// Behind those of its priority.
void Engine::State::wait_last(std::unique_ptr<Sequence> sequence) {
  auto const at = std::upper_bound(waiting.begin(), waiting.end(), sequence, goes_before);
  waiting.insert(at, std::move(sequence));
}

std::unordered_set<Hash128> Engine::State::names_being_computed() const {
  std::unordered_set<Hash128> names;
  if (config.prefix_reuse == PrefixReuse::off) return names;
  for (auto const& sequence : running) {
    if (sequence->pending() <= 1) continue;
    auto const& blocks = sequence->block_names();
    names.insert(
        blocks.begin() + std::min(std::ptrdiff_t(blocks.size()), std::ptrdiff_t(sequence->computed / block_tokens)),
        blocks.end());
  }
  return names;
}

/// Starts as many waiting sequences as there is room for, oldest first. One whose next block another sequence is just
/// computing waits for it, and may be overtaken: a shared prefix is computed once.
void Engine::State::admit() {
  if (waiting.empty()) return;
  auto being_computed = names_being_computed();
  for (std::size_t i = 0; i < waiting.size() && int(running.size()) < config.max_sequences;) {
    Sequence& next = *waiting[i];
    bool const attached = next.pages.blocks() > 0;
    bool const reuses = config.prefix_reuse == PrefixReuse::on && !attached;
    if (reuses) {
      take_prefix(next);
      auto const& names = next.block_names();
      auto const at = std::size_t(next.computed / block_tokens);
      if (at < names.size() && being_computed.contains(names[at])) {
        give_back_pages(next);
        ++i;
        continue;
      }
    }
    while (!ensure_pages(next, next.computed + std::min(next.pending(), config.chunk_tokens))) {
      if (running.empty() && take_pages_of_waiting(i + 1)) continue;
      if (!attached || running.empty()) give_back_pages(next);
      return;
    }
    if (reuses && next.pending() > 1)
      being_computed.insert(next.block_names().begin() + next.computed / block_tokens, next.block_names().end());
    if (!attached) counts.cached_tokens += next.computed;
    if (!attached && next.generated() == 0) next.owner().answer.cached_tokens = next.computed;
    auto started = std::move(waiting[i]);
    waiting.erase(waiting.begin() + std::ptrdiff_t(i));
    run(std::move(started));
  }
}

void Engine::State::take_prefix(Sequence& sequence) {
  int const usable = std::min(sequence.reuse_limit_tokens(), int(sequence.tokens().size()) - 1) / block_tokens;
  if (usable <= 0) return;
  auto match = index.match(sequence.tokens(), std::span(sequence.block_names()).first(std::size_t(usable)));
  sequence.pages.adopt(match.blocks);
  sequence.cursor = match.cursor;
  sequence.computed = int(match.blocks.size()) * block_tokens;
}

void Engine::State::give_back_pages(Sequence& sequence) {
  sequence.pages.release_all();
  sequence.cursor = {};
  sequence.computed = 0;
}

/// Pages for the first `positions` positions, from the free ones or from prefix blocks that nobody uses.
bool Engine::State::ensure_pages(Sequence& sequence, int positions) {
  if (sequence.pages.ensure_positions(positions)) return true;
  int const missing = sequence.pages.missing_blocks(positions);
  for (std::size_t group = 0; group < groups.size(); ++group)
    if (int const lacking = missing - int(groups[group].pool->free_pages()); lacking > 0)
      index.evict(int(group), lacking);
  return sequence.pages.ensure_positions(positions);
}

void Engine::State::preempt_last() {
  ++counts.preemptions;
  give_back_pages(*running.back());
  auto preempted = std::move(running.back());
  running.pop_back();
  wait_first(std::move(preempted));
}

/// Preempts the sequences admitted last until `sequence` has its pages; false where it was preempted itself.
bool Engine::State::make_room(Sequence& sequence, int positions) {
  while (!ensure_pages(sequence, positions)) {
    if (running.size() == 1 && take_pages_of_waiting(0)) continue;
    bool const itself = running.back().get() == &sequence;
    preempt_last();
    if (itself) return false;
  }
  return true;
}

}  // namespace windlass
