/// From one row of logits to the next token: pure functions of logits, request and token ids.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "src/core/ids.hpp"
#include "src/engine/request.hpp"
#include "src/grammar/token_constraint.hpp"

namespace windlass {

/// What the state of a sequence is computed from.
struct SequenceTokens {
  std::span<TokenId const> prompt;
  std::span<TokenId const> output;        ///< generated so far
  std::span<TokenId const> end_tokens;    ///< the model's end-of-text ids
  TokenConstraint* constraint = nullptr;  ///< compiled, where the request has one; outlives the state
};

/// What sampling must know of the tokens so far. A function of request and token ids alone, so a replayed or resumed
/// sequence gets the same one.
class SamplingState {
 public:
  SamplingState(SamplingParameters const& parameters, int choice, SequenceTokens const& tokens);

  /// One more generated token.
  void accept(TokenId token);

  struct Count {
    std::uint32_t output = 0;  ///< times generated
    bool in_prompt = false;
  };

  int choice() const { return choice_; }
  int output_tokens() const { return output_tokens_; }
  std::unordered_map<TokenId, Count> const& counts() const { return counts_; }  ///< empty without penalties
  std::span<TokenId const> ends() const { return ends_; }                       ///< end-of-text and stop ids
  TokenConstraint* constraint() const { return constraint_; }
  ConstraintPlace constraint_place() const { return constraint_place_; }
  /// The constraint is met, and nothing can follow.
  bool constraint_must_end() const { return constraint_ && constraint_->must_end(constraint_place_); }

 private:
  int choice_;
  int output_tokens_ = 0;
  bool counts_needed_;
  std::unordered_map<TokenId, Count> counts_;
  std::vector<TokenId> ends_;
  TokenConstraint* constraint_;
  ConstraintPlace constraint_place_;
};

/// Memory that is used again from row to row; one per thread that samples.
struct SamplingScratch {
  struct Candidate {
    float logit;
    TokenId token;
  };
  std::vector<float> logits;          ///< [vocab], changed ones
  std::vector<Candidate> candidates;  ///< the likeliest tokens, as far as they were looked at
};

struct SampleRow {
  std::span<float const> logits;                   ///< [vocab], as the model gave them, none NaN
  SamplingParameters const* parameters = nullptr;  ///< checked
  SamplingState const* state = nullptr;
};

/// The next token. Steps, in vLLM's order: allowed_token_ids, min_tokens (end and stop ids are out), logit_bias,
/// penalties (repetition, frequency, presence), the constraint (end and stop ids where the text is complete, others
/// where it goes on), greedy choice at temperature 0; else temperature, min_p, top_k, top_p
/// (of what is left, renormalised), and a draw by the inverse of the cumulative distribution in descending order of
/// logit. Equal logits: the lower id first, also at the edge of top_k. The draw is uniform({seed, choice, output
/// position}). Tokens e^80 times less likely than the likeliest are never drawn. Where nothing is left (all allowed
/// tokens are forbidden), the lowest allowed id, or nothing under a constraint. Ids beyond the vocabulary are ignored.
/// Cost: one pass for greedy, about three otherwise; no full sort. Allocates in `scratch` alone.
std::optional<TokenId> sample(SampleRow const& row, SamplingScratch& scratch);

struct LogprobRow {
  std::span<float const> logits;  ///< [vocab], as the model gave them: before penalties and temperature
  float normalizer = 0;           ///< log of the sum of their exponentials (kernels/log_softmax.hpp)
  TokenId chosen{};
  int top = 0;  ///< entries wanted besides the chosen one
};

/// Log-probabilities of the chosen and of the likeliest tokens.
PositionLogprobs position_logprobs(LogprobRow const& row);

}  // namespace windlass
