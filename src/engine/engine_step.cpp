#include <algorithm>

#include "src/core/clock.hpp"
#include "src/engine/engine_state.hpp"
#include "src/engine/step_message.hpp"
#include "src/policy/step_batching.hpp"

namespace windlass {

void StepWork::clear() {
  batch.clear();
  parts.clear();
  uses.clear();
  sampled.clear();
}

void Engine::State::step() {
  remove_cancelled();
  admit();
  if (running.empty()) return tell_all_held();
  Microseconds const begin = now_us();
  plan_work();
  if (work.parts.empty()) return;
  if (collective.degree() > 1) tell_followers();
  forward.run(work.batch, groups, [this](LogitBlock const& block) { sample_block(block); });
  advance();
  ++counts.steps;
  counts.busy_us += now_us() - begin;
}

/// The other ranks compute the same batch on their shards, in pages of the same numbers.
void Engine::State::tell_followers() { collective.announce(encode_step(work.batch, take_changes(groups))); }

/// Fills `work`: who computes how many tokens, with pages for all of them.
void Engine::State::plan_work() {
  work.clear();
  work.batch.sequences.resize(groups.size());
  std::vector<RunningSequence> view;
  for (auto const& sequence : running) view.push_back({sequence->id, std::uint32_t(sequence->pending())});
  StepBatchingInput const in{.running = view, .prefill_budget = std::uint32_t(config.chunk_tokens)};
  auto const plan = plan_step_batching(in);
  if (config.plan_log != nullptr) config.plan_log->add(in, plan);
  for (StepShare const& share : plan.shares) {
    auto const at = std::find_if(running.begin(), running.end(), [&](auto const& s) { return s->id == share.id; });
    if (at == running.end()) continue;  // preempted for the sake of an earlier one
    Sequence& sequence = **at;
    if (make_room(sequence, sequence.computed + int(share.tokens)))
      work.parts.emplace_back(&sequence, int(share.tokens));
  }
  for (auto const& [sequence, tokens] : work.parts) add_to_batch(*sequence, tokens);
}

void Engine::State::add_to_batch(Sequence& sequence, int tokens) {
  Batch& batch = work.batch;
  int const first_row = int(batch.tokens.size()), first_position = sequence.computed;
  for (std::size_t group = 0; group < groups.size(); ++group)
    batch.sequences[group].push_back({.first_row = first_row,
                                      .rows = tokens,
                                      .first_position = first_position,
                                      .pages = sequence.pages.table(int(group))});
  int const end = first_position + tokens;
  bool const scores_prompt = sequence.sampling().prompt_logprobs.has_value();
  int const next_scored =
      sequence.request().first_scored_position() + int(sequence.owner().answer.prompt_logprobs.size());
  for (int position = first_position; position < end; ++position) {
    batch.tokens.push_back(sequence.tokens()[std::size_t(position)]);
    batch.positions.push_back(position);
    bool const scores = scores_prompt && position + 1 >= next_scored && position + 1 < sequence.prompt_tokens();
    bool const is_last = position + 1 == int(sequence.tokens().size());
    if (!scores && !(is_last && sequence.sampling().max_tokens > 0)) continue;
    batch.logit_rows.push_back(first_row + position - first_position);
    work.uses.push_back({.sequence = &sequence, .prompt_position = is_last ? -1 : position + 1});
    if (scores || sequence.sampling().logprobs) batch.normalizers = Normalizers::compute;
  }
  batch.max_context = std::max(batch.max_context, end);
}

void Engine::State::sample_block(LogitBlock const& block) {
  work.sampled.resize(work.uses.size());
  team.for_parts(block.count, 1, [&](std::int64_t begin, std::int64_t end, int thread) {
    for (std::int64_t row = begin; row < end; ++row) sample_row(block, int(row), scratch[std::size_t(thread)]);
  });
}

namespace {

bool has_nan(std::span<float const> logits) {
  bool found = false;
  for (float const logit : logits) found |= logit != logit;
  return found;
}

}  // namespace

void Engine::State::sample_row(LogitBlock const& block, int row, SamplingScratch& own_scratch) {
  LogitUse const& use = work.uses[std::size_t(block.first + row)];
  auto& out = work.sampled[std::size_t(block.first + row)];
  Sequence const& sequence = *use.sequence;
  SamplingParameters const& sampling = sequence.sampling();
  std::span<float const> const logits(block.logits + row * block.stride, std::size_t(model.spec.vocab));
  float const normalizer = block.normalizers[row];
  if (has_nan(logits)) return;  // advance() answers with an error
  if (use.prompt_position >= 0) {
    TokenId const token = sequence.tokens()[std::size_t(use.prompt_position)];
    int const top = *sampling.prompt_logprobs;
    out.push_back(
        {token, position_logprobs({.logits = logits, .normalizer = normalizer, .chosen = token, .top = top})});
    return;
  }
  int const choices = sequence.generated() == 0 ? sequence.request().choices : 1;
  for (int i = 0; i < choices; ++i) {
    std::optional<SamplingState> other;
    if (i > 0) other.emplace(sampling, sequence.choice() + i, sequence.state_tokens());
    auto const token =
        sample({.logits = logits, .parameters = &sampling, .state = other ? &*other : &sequence.sampling_state()},
               own_scratch);
    SampledToken next{.token = token.value_or(TokenId{}), .nothing_fits = !token};
    if (sampling.logprobs)
      next.logprobs = position_logprobs(
          {.logits = logits, .normalizer = normalizer, .chosen = next.token, .top = *sampling.logprobs});
    out.push_back(std::move(next));
  }
}

/// After the forward pass: positions count as computed, blocks are indexed, tokens are taken.
void Engine::State::advance() {
  std::size_t use = 0;
  for (auto const& [sequence, tokens] : work.parts) {
    sequence->computed += tokens;
    counts.prompt_tokens += sequence->generated() == 0 || tokens > 1 ? tokens : 0;
    index_blocks(*sequence);
    // A sequence that failed takes no more tokens, but its rows are passed over.
    for (; use < work.uses.size() && work.uses[use].sequence == sequence; ++use) {
      auto& sampled = work.sampled[use];
      if (sequence->finish_reason()) continue;
      if (sampled.empty())
        sequence->fail("the model's logits are not numbers; the weights are damaged or overflow at this precision");
      else if (std::any_of(sampled.begin(), sampled.end(), [](auto const& token) { return token.nothing_fits; }))
        sequence->fail("no token of the vocabulary goes on in the form that the request asks for");
      else if (work.uses[use].prompt_position >= 0)
        sequence->owner().answer.prompt_logprobs.push_back(std::move(*sampled[0].logprobs));
      else if (sequence->generated() == 0)
        start_choices(*sequence, sampled);
      else
        take_token(*sequence, sampled[0]);
    }
    if (sequence->pending() == 0 && sequence->sampling().max_tokens == 0) sequence->end_unsampled();
    sequence->pages.drop_behind_window(sequence->computed);
  }
  for (auto& sequence : running)
    if (sequence->finish_reason()) finish(*sequence);
  std::erase_if(running, [](auto const& sequence) { return sequence->finish_reason().has_value(); });
  if (config.after_prompt == AfterPrompt::hold) hold_prefilled();
}

void Engine::State::index_blocks(Sequence& sequence) {
  int const full = sequence.computed / block_tokens;
  bool const lent = sequence.page_owner == PageOwner::lender;
  if (config.prefix_reuse == PrefixReuse::off || lent || full <= sequence.cursor.blocks) return;
  index.insert(sequence.cursor, sequence.tokens(), std::span(sequence.block_names()).first(std::size_t(full)),
               sequence.pages);
}

/// The prompt is computed: its choices go on as sequences of their own, which share its full pages.
void Engine::State::start_choices(Sequence& first, std::vector<SampledToken> const& tokens) {
  Microseconds& first_token_us = first.owner().answer.first_token_us;
  if (first_token_us == 0) first_token_us = now_us();
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    auto other = std::make_unique<Sequence>(first.shared_owner(), int(i), groups, model);
    other->id = SequenceId{next_sequence++};
    auto pages = int(running.size()) < config.max_sequences ? first.pages.fork(first.computed) : std::nullopt;
    if (pages) {
      other->pages = std::move(*pages);
      other->cursor = first.cursor;
      other->computed = first.computed;
    }
    take_token(*other, tokens[i]);
    if (other->finish_reason())
      finish(*other);
    else if (pages)
      run(std::move(other));
    else
      wait_first(std::move(other));
  }
  take_token(first, tokens[0]);
}

void Engine::State::take_token(Sequence& sequence, SampledToken const& token) {
  ++counts.generated_tokens;
  sequence.append(token.token, token.logprobs);
  if (sequence.request().deltas == Deltas::on) deltas.push_back(sequence.take_delta());
}

}  // namespace windlass
