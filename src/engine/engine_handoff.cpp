#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/engine/engine_state.hpp"

namespace windlass {
namespace {

using Sequences = std::vector<std::unique_ptr<Sequence>>;

template <class Container>
void take_of(RequestId request, Container& from, Sequences& to) {
  for (auto& sequence : from)
    if (sequence->request().id == request) to.push_back(std::move(sequence));
  std::erase_if(from, [](auto const& sequence) { return sequence == nullptr; });
}

/// The sequence whose KV is of use to all: with several choices, one that holds the prompt's alone, since pages behind
/// a window are gone once a sequence is further.
Sequence* leader(Sequences const& sequences) {
  Sequence* best = nullptr;
  for (auto const& sequence : sequences) {
    bool const usable = sequences.size() == 1 || sequence->computed <= sequence->prompt_tokens();
    if (usable && (best == nullptr || sequence->computed > best->computed)) best = sequence.get();
  }
  return best;
}

}  // namespace

/// After a step with AfterPrompt::hold: sequences whose prompt is computed leave the batch. A request is told of once
/// none of its choices runs or waits any more, whether the last of them was held or has finished.
void Engine::State::hold_prefilled() {
  for (auto& sequence : running)
    if (sequence->generated() > 0 && sequence->pending() == 1) held.push_back(std::move(sequence));
  std::erase_if(running, [](auto const& sequence) { return sequence == nullptr; });
  auto const has = [](auto const& sequences, RequestId request) {
    return std::any_of(sequences.begin(), sequences.end(),
                       [&](auto const& sequence) { return sequence->request().id == request; });
  };
  for (auto const& sequence : held)
    if (RequestId const request = sequence->request().id; !has(running, request) && !has(waiting, request))
      tell_held(request);
}

/// Nobody runs, and who waits has found no room: requests that hold pages have to go as they are, with choices that
/// wait.
void Engine::State::tell_all_held() {
  for (auto const& sequence : held) tell_held(sequence->request().id);
}

void Engine::State::tell_held(RequestId request) {
  if (told_held.insert(request).second) held_requests.push_back(request);
}

std::optional<DetachedRequest> Engine::State::detach(RequestId request) {
  Sequences sequences;
  take_of(request, held, sequences);
  take_of(request, running, sequences);
  take_of(request, waiting, sequences);
  std::erase(held_requests, request);
  told_held.erase(request);
  if (sequences.empty()) return std::nullopt;
  requests.erase(request);
  std::sort(sequences.begin(), sequences.end(), [](auto const& a, auto const& b) { return a->choice() < b->choice(); });
  RequestState& owner = sequences.front()->owner();
  Sequence* const lead = leader(sequences);
  DetachedRequest out{.request = owner.request,
                      .answer = std::move(owner.answer),
                      .choices = {},
                      .unfinished = owner.unfinished,
                      .computed = lead == nullptr ? 0 : lead->computed,
                      .pages = lead == nullptr ? SequencePages(groups) : std::move(lead->pages)};
  for (auto const& sequence : sequences) out.choices.push_back(sequence->take_progress());
  return out;
}

std::optional<SequencePages> Engine::State::reserve(int positions) {
  SequencePages pages(groups);
  int const blocks = blocks_for(positions);
  std::vector<BlockPages> reserved(std::size_t(blocks), BlockPages{});
  bool complete = true;
  for (std::size_t group = 0; group < groups.size(); ++group) {
    int const first = std::min(blocks, first_visible_block(positions, groups[group].window_tokens));
    PagePool& pool = *groups[group].pool;
    if (int const lacking = blocks - first - int(pool.free_pages()); lacking > 0) index.evict(int(group), lacking);
    for (int block = first; complete && block < blocks; ++block) {
      auto const page = pool.allocate();
      complete = page.has_value();
      reserved[std::size_t(block)][group] = page;
    }
  }
  if (complete) {
    pages.adopt(reserved);
    return pages;
  }
  for (BlockPages const& block : reserved)
    for (std::size_t group = 0; group < groups.size(); ++group)
      if (block[group]) groups[group].pool->release(*block[group]);
  return std::nullopt;
}

void Engine::State::attach(DetachedRequest detached) {
  if (std::string why = refusal(detached.request); !why.empty())
    return answer_error(detached.request.id, std::move(why));
  ensure(!detached.choices.empty() && blocks_for(detached.computed) <= detached.pages.blocks(),
         "a request is attached with its unfinished choices and the pages of what is computed");
  auto const state = new_request(std::move(detached.request));
  state->answer = std::move(detached.answer);
  state->unfinished = detached.unfinished;
  for (std::size_t i = detached.choices.size(); i-- > 0;) {  // the last one first: each goes to the queue's front
    auto sequence = std::make_unique<Sequence>(state, detached.choices[i].choice, groups, model);
    sequence->id = SequenceId{next_sequence++};
    sequence->page_owner = detached.owner;
    sequence->resume(std::move(detached.choices[i]));
    auto pages = i == 0 ? std::optional(std::move(detached.pages)) : detached.pages.fork(detached.computed);
    if (pages && detached.computed > 0) {
      sequence->pages = std::move(*pages);
      sequence->computed = detached.computed;
    }
    wait_first(std::move(sequence));
  }
}

/// Waiting sequences that were attached with their pages keep them until a single sequence runs, or could, and finds no
/// room. The first `spared` in the queue are not looked at.
bool Engine::State::take_pages_of_waiting(std::size_t spared) {
  for (std::size_t i = waiting.size(); i-- > spared;)
    if (waiting[i]->pages.blocks() > 0) {
      give_back_pages(*waiting[i]);
      return true;
    }
  return false;
}

void Engine::set_after_prompt(AfterPrompt after_prompt) { state_->config.after_prompt = after_prompt; }
std::vector<RequestId> Engine::take_held() { return std::exchange(state_->held_requests, {}); }
std::optional<DetachedRequest> Engine::detach(RequestId request) { return state_->detach(request); }
std::optional<SequencePages> Engine::reserve(int positions) { return state_->reserve(positions); }
void Engine::attach(DetachedRequest request) { state_->attach(std::move(request)); }
std::span<LayerGroup const> Engine::groups() const { return state_->groups; }

}  // namespace windlass
