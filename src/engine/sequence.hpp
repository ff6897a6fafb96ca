/// One stream of tokens in the engine: a function of its request and its token ids alone, so it can be recomputed.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "src/engine/handoff.hpp"
#include "src/engine/request.hpp"
#include "src/engine/sampling.hpp"
#include "src/engine/stop_text.hpp"
#include "src/kv/block_identity.hpp"
#include "src/kv/prefix_index.hpp"
#include "src/kv/sequence_pages.hpp"
#include "src/model/model.hpp"

namespace windlass {

/// What the sequences of one request share.
struct RequestState {
  Request request;
  Hash128 block_seed;                           ///< start of the chain of block names
  Answer answer;                                ///< filled in as choices finish
  int unfinished = 0;                           ///< choices not finished
  std::shared_ptr<TokenConstraint> constraint;  ///< null without
  bool cancelled = false;
};

class Sequence {
 public:
  /// `groups` and `model` outlive the sequence.
  Sequence(std::shared_ptr<RequestState> owner, int choice, std::span<LayerGroup const> groups, Model const& model);

  RequestState& owner() { return *owner_; }
  Request const& request() const { return owner_->request; }
  SamplingParameters const& sampling() const { return owner_->request.sampling; }
  std::shared_ptr<RequestState> const& shared_owner() const { return owner_; }
  int choice() const { return choice_; }

  std::vector<TokenId> const& tokens() const { return tokens_; }  ///< prompt, then what was generated
  int prompt_tokens() const { return int(owner_->request.prompt.size()); }
  int generated() const { return int(tokens_.size()) - prompt_tokens(); }
  int pending() const { return int(tokens_.size()) - computed; }

  /// Takes the next token; finish_reason() tells afterwards whether it was the last one.
  void append(TokenId token, std::optional<PositionLogprobs> logprobs);
  void fail(std::string message);                           ///< ends with FinishReason::error
  void end_unsampled() { finish_ = FinishReason::length; }  ///< max_tokens = 0: the prompt was all
  std::optional<FinishReason> finish_reason() const { return finish_; }
  std::string const& error() const { return error_; }
  /// What append() added since the last call.
  ChoiceDelta take_delta();
  /// What another engine needs to go on.
  DetachedChoice take_progress();
  DetachedChoice progress() const;  ///< the same, and the sequence stays
  /// Takes the tokens of another engine, which has reported them. Before the first append().
  void resume(DetachedChoice progress);
  /// The finished stream, ready for the answer.
  Choice take_choice();

  SamplingState const& sampling_state() const { return sampling_state_; }
  SequenceTokens state_tokens() const;
  /// Prefix blocks may be taken over up to this many tokens (none of those where the prompt is scored).
  int reuse_limit_tokens() const;

  /// Names of the full blocks of tokens().
  std::vector<Hash128> const& block_names();

  SequenceId id{};
  int computed = 0;  ///< leading tokens whose KV lies in `pages`
  SequencePages pages;
  PrefixCursor cursor;
  PageOwner page_owner = PageOwner::engine;

 private:
  bool ends_text(TokenId token) const;
  void add_text(TokenId token, StopSearch search);
  void end_text();

  std::shared_ptr<RequestState> owner_;
  int choice_;
  Model const* model_;
  std::vector<TokenId> tokens_;
  std::vector<Hash128> block_names_;
  SamplingState sampling_state_;
  std::optional<Detokenizer> detokenizer_;
  StopText stop_text_;
  Choice out_;
  std::size_t reported_tokens_ = 0, reported_text_bytes_ = 0;  ///< by take_delta()
  std::optional<FinishReason> finish_;
  std::string error_;
};

}  // namespace windlass
