#include "src/engine/engine.hpp"

#include <algorithm>

#include "src/core/clock.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/engine/arithmetic.hpp"
#include "src/engine/engine_pools.hpp"
#include "src/engine/engine_state.hpp"
#include "src/engine/step_message.hpp"

namespace windlass {
Engine::State::State(Model const& the_model, EngineConfig const& the_config, ForwardMachine const& machine)
    : model(the_model),
      config(the_config),
      team(*machine.team),
      collective(*machine.collective),
      pools(make_pools(the_model, the_config, *machine.operations, collective)),
      groups(make_groups(the_model, pools)),
      index(groups),
      constraints(the_model.tokenizer.get()),
      forward(the_model, machine,
              {.rows = the_config.chunk_tokens + the_config.max_sequences, .max_context = the_model.max_model_len}),
      identity(to_hex(the_model.identity)),
      arithmetic(arithmetic_id(*machine.operations, the_config.precision)),
      kv(kv_format(the_config.precision, *machine.operations)),
      scratch(std::size_t(team.size())) {
  ensure(config.chunk_tokens >= 1 && config.max_sequences >= 1, "a step needs room for one token");
}

/// Why a request can never be answered; empty if it can.
std::string Engine::State::refusal(Request const& request) {
  if (request.prompt.empty()) return "the prompt is empty; give at least one token";
  if (request.choices < 1) return text("n=", request.choices, " is not possible; ask for at least one choice");
  for (TokenId const token : request.prompt)
    if (number(token) >= std::uint32_t(model.spec.vocab))
      return text("prompt token id ", number(token), " is not below the vocabulary's size, ", model.spec.vocab);
  int const prompt = int(std::min<std::size_t>(request.prompt.size(), INT32_MAX));
  int const wanted = request.sampling.max_tokens > 0 ? 1 : 0;
  if (prompt + wanted > model.max_model_len)
    return text("the prompt has ", prompt, " tokens, which with ", wanted, " to generate is more than the context of ",
                model.max_model_len, "; shorten it, or raise --max-model-len if the model allows it");
  auto const most = std::min<std::int64_t>(std::int64_t(prompt) + request.sampling.max_tokens, model.max_model_len);
  if (std::uint32_t(blocks_for(int(most))) > groups[0].pool->pages())
    return text("prompt and max_tokens make up to ", most, " tokens, but the KV pool holds ",
                std::int64_t(groups[0].pool->pages()) * block_tokens, "; give it more memory or lower max_tokens");
  try {
    check(request.sampling);
    if (request.sampling.constraint) constraints.find(request.sampling.constraint);
  } catch (InputError const& error) {
    return error.what();
  }
  return {};
}

void Engine::State::answer_error(RequestId request, std::string message) {
  Microseconds const now = now_us();
  answers.push_back({.id = request, .error = std::move(message), .submitted_us = now, .finished_us = now});
}

std::shared_ptr<RequestState> Engine::State::new_request(Request request) {
  auto state = std::make_shared<RequestState>();
  state->block_seed =
      seed_of({.tenant = request.cache_salt, .model = identity, .arithmetic = arithmetic, .kv_format = kv});
  state->answer.id = request.id;
  state->answer.submitted_us = now_us();
  state->answer.choices.resize(std::size_t(request.choices));
  state->unfinished = request.choices;
  if (request.sampling.constraint) state->constraint = constraints.find(request.sampling.constraint);
  state->request = std::move(request);
  requests[state->request.id] = state;
  return state;
}

void Engine::State::submit(Request request) {
  if (std::string why = refusal(request); !why.empty()) return answer_error(request.id, std::move(why));
  auto state = new_request(std::move(request));
  auto sequence = std::make_unique<Sequence>(std::move(state), 0, groups, model);
  sequence->id = SequenceId{next_sequence++};
  wait_last(std::move(sequence));
}

void Engine::State::remove_cancelled() {
  auto const gone = [](auto const& sequence) { return sequence->owner().cancelled; };
  std::erase_if(waiting, gone);
  std::erase_if(running, gone);
  std::erase_if(held, gone);
}

/// Files a finished sequence's choice; the last one completes the answer. Its blocks stay indexed.
void Engine::State::finish(Sequence& sequence) {
  RequestState& owner = sequence.owner();
  if (owner.unfinished == 0) return;  // another choice failed and answered for all
  if (*sequence.finish_reason() == FinishReason::error) {
    owner.answer.error = sequence.error();
    owner.answer.error_is_input = false;
    owner.cancelled = true;
    owner.unfinished = 1;
  }
  owner.answer.choices[std::size_t(sequence.choice())] = sequence.take_choice();
  if (--owner.unfinished > 0) return;
  owner.answer.finished_us = now_us();
  requests.erase(owner.request.id);
  answers.push_back(std::move(owner.answer));
}

Engine::Engine(Model const& model, EngineConfig const& config, Operations const& operations, Collective& collective,
               ThreadTeam& team)
    : state_(std::make_unique<State>(
          model, config,
          ForwardMachine{
              .precision = config.precision, .operations = &operations, .team = &team, .collective = &collective})) {
  ensure(collective.instance_rank() == 0, "the engine of an instance runs on its first rank");
}

Engine::~Engine() = default;

void Engine::submit(Request request) { state_->submit(std::move(request)); }

void Engine::cancel(RequestId request) {
  auto const at = state_->requests.find(request);
  if (at == state_->requests.end()) return;
  if (auto const owner = at->second.lock()) owner->cancelled = true;
  state_->told_held.erase(request);
  state_->requests.erase(at);
}

bool Engine::idle() const { return state_->waiting.empty() && state_->running.empty(); }

void Engine::step() { state_->step(); }

void Engine::end_followers() { state_->collective.announce(encode_end()); }

std::vector<Answer> Engine::take_answers() { return std::exchange(state_->answers, {}); }

std::vector<ChoiceDelta> Engine::take_deltas() { return std::exchange(state_->deltas, {}); }

EngineCounters Engine::counters() const {
  EngineCounters counters = state_->counts;
  counters.running = int(state_->running.size());
  counters.waiting = int(state_->waiting.size());
  for (auto const& sequence : state_->running) counters.held_tokens += sequence->computed;
  for (auto const& sequence : state_->waiting) counters.held_tokens += sequence->computed;
  for (auto const& sequence : state_->held) counters.held_tokens += sequence->computed;
  counters.pages = state_->pools[0]->pages();
  counters.free_pages = state_->pools[0]->free_pages();
  return counters;
}

}  // namespace windlass
