#include "src/engine/sequence.hpp"

#include <algorithm>

namespace windlass {

Sequence::Sequence(std::shared_ptr<RequestState> owner, int choice, std::span<LayerGroup const> groups,
                   Model const& model)
    : pages(groups),
      owner_(std::move(owner)),
      choice_(choice),
      model_(&model),
      tokens_(owner_->request.prompt),
      sampling_state_(owner_->request.sampling, choice, state_tokens()),
      stop_text_(owner_->request.sampling.stop,
                 owner_->request.sampling.include_stop_text ? MatchedText::keep : MatchedText::drop) {
  if (model.tokenizer)
    detokenizer_.emplace(*model.tokenizer, sampling().skip_special_tokens ? SpecialText::skip : SpecialText::keep);
}

SequenceTokens Sequence::state_tokens() const {
  std::span<TokenId const> const tokens = tokens_;
  return {.prompt = tokens.first(owner_->request.prompt.size()),
          .output = tokens.subspan(owner_->request.prompt.size()),
          .end_tokens = sampling().ignore_eos ? std::span<TokenId const>() : model_->spec.end_tokens,
          .constraint = owner_->constraint.get()};
}

int Sequence::reuse_limit_tokens() const {
  int const all = int(tokens_.size()) - 1;  // the last token's logits are always needed
  return sampling().prompt_logprobs ? std::min(all, request().first_scored_position() - 1) : all;
}

std::vector<Hash128> const& Sequence::block_names() {
  extend_block_hashes(block_names_, tokens_, owner_->block_seed);
  return block_names_;
}

bool Sequence::ends_text(TokenId token) const {
  auto const among = [&](std::vector<TokenId> const& ids) {
    return std::find(ids.begin(), ids.end(), token) != ids.end();
  };
  return (!sampling().ignore_eos && among(model_->spec.end_tokens)) || among(sampling().stop_token_ids);
}

void Sequence::append(TokenId token, std::optional<PositionLogprobs> logprobs) {
  tokens_.push_back(token);
  sampling_state_.accept(token);
  out_.tokens.push_back(token);
  if (logprobs) out_.logprobs.push_back(std::move(*logprobs));
  bool const may_stop = generated() >= sampling().min_tokens;
  bool const ends = ends_text(token);  // sampling forbids such tokens before min_tokens
  if (!ends) add_text(token, may_stop ? StopSearch::respect : StopSearch::ignore);
  if (ends || stop_text_.stopped() || sampling_state_.constraint_must_end())
    finish_ = FinishReason::stop;
  else if (generated() >= sampling().max_tokens || int(tokens_.size()) >= model_->max_model_len)
    finish_ = FinishReason::length;
  if (finish_) end_text();
}

void Sequence::add_text(TokenId token, StopSearch search) {
  if (detokenizer_) out_.text += stop_text_.add(detokenizer_->add(token), search);
}

void Sequence::fail(std::string message) {
  error_ = std::move(message);
  finish_ = FinishReason::error;
}

/// Adds what was held back.
void Sequence::end_text() {
  if (!detokenizer_ || stop_text_.stopped()) return;
  out_.text += stop_text_.add(detokenizer_->finish());
  out_.text += stop_text_.finish();
}

ChoiceDelta Sequence::take_delta() {
  auto const first = std::ptrdiff_t(reported_tokens_);
  ChoiceDelta delta{.id = request().id,
                    .choice = choice_,
                    .tokens = {out_.tokens.begin() + first, out_.tokens.end()},
                    .text = out_.text.substr(reported_text_bytes_),
                    .finish = finish_};
  if (sampling().logprobs) delta.logprobs.assign(out_.logprobs.begin() + first, out_.logprobs.end());
  if (first == 0) delta.prompt_logprobs = owner_->answer.prompt_logprobs;
  reported_tokens_ = out_.tokens.size();
  reported_text_bytes_ = out_.text.size();
  return delta;
}

DetachedChoice Sequence::take_progress() {
  return {.choice = choice_, .tokens = std::move(out_.tokens), .logprobs = std::move(out_.logprobs)};
}

DetachedChoice Sequence::progress() const {
  return {.choice = choice_, .tokens = out_.tokens, .logprobs = out_.logprobs};
}

void Sequence::resume(DetachedChoice progress) {
  for (std::size_t i = 0; i < progress.tokens.size(); ++i) {
    std::optional<PositionLogprobs> logprobs;
    if (i < progress.logprobs.size()) logprobs = std::move(progress.logprobs[i]);
    append(progress.tokens[i], std::move(logprobs));
  }
  reported_tokens_ = out_.tokens.size();
  reported_text_bytes_ = out_.text.size();
}

Choice Sequence::take_choice() {
  out_.finish = *finish_;
  return std::move(out_);
}

}  // namespace windlass
