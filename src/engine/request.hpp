/// What the engine is asked and what it answers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/core/clock.hpp"
#include "src/core/ids.hpp"
#include "src/grammar/constraint.hpp"

namespace windlass {

/// Defaults are OpenAI's. Ranges are checked by check(SamplingParameters).
struct SamplingParameters {
  double temperature = 1;                              ///< 0: greedy
  double top_p = 1;                                    ///< (0, 1]
  int top_k = 0;                                       ///< 0: off
  double min_p = 0;                                    ///< [0, 1]
  double presence_penalty = 0;                         ///< [-2, 2]
  double frequency_penalty = 0;                        ///< [-2, 2]
  double repetition_penalty = 1;                       ///< > 0; counts prompt and output
  std::vector<std::pair<TokenId, double>> logit_bias;  ///< each [-100, 100]
  std::vector<TokenId> allowed_token_ids;              ///< empty: all
  std::uint64_t seed = 0;                              ///< always set by the time a request reaches the engine
  int max_tokens = 16;                                 ///< generated tokens; 0 is legal (echo, scoring)
  int min_tokens = 0;
  std::vector<std::string> stop;  ///< at most 16 strings, none empty
  bool include_stop_text = false;
  std::vector<TokenId> stop_token_ids;
  bool ignore_eos = false;
  std::optional<int> logprobs;         ///< this many top entries besides the chosen token; unset: none
  std::optional<int> prompt_logprobs;  ///< the same for the prompt's tokens
  int prompt_logprobs_start = 0;       ///< from this position of the prompt on
  bool skip_special_tokens = true;
  Constraint constraint;  ///< what the output must look like; its end ends the output
};

/// Throws InputError naming the field, its value and its range.
void check(SamplingParameters const& sampling);

/// Whether the engine reports a request's tokens as they come (Engine::take_deltas), besides its answer.
enum class Deltas : std::uint8_t { off, on };

struct Request {
  RequestId id{};
  std::vector<TokenId> prompt;  ///< not empty
  SamplingParameters sampling;
  int choices = 1;         ///< n: sequences that share the prompt
  std::string cache_salt;  ///< prefixes are shared only between equal salts
  Deltas deltas = Deltas::off;
  int priority = 0;  ///< lower ones start first and are preempted last

  /// The first position of the prompt that is scored; the first token has no probability.
  int first_scored_position() const { return std::max(1, sampling.prompt_logprobs_start); }
};

struct TokenLogprob {
  TokenId token{};
  float logprob = 0;
};

/// Log-probabilities of one position.
struct PositionLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  ///< descending; ties: the lower id first
};

enum class FinishReason : std::uint8_t { stop, length, error };

struct Choice {
  std::vector<TokenId> tokens;
  std::string text;                        ///< empty where the model has no tokenizer
  std::vector<PositionLogprobs> logprobs;  ///< one per token where asked for
  FinishReason finish = FinishReason::length;
};

/// What one choice of a request gained in a step. The deltas of a choice, put together, are its Choice.
struct ChoiceDelta {
  RequestId id{};
  int choice = 0;
  std::vector<TokenId> tokens;
  std::string text;                        ///< may be empty: half a character, or what may become a stop string
  std::vector<PositionLogprobs> logprobs;  ///< one per token where asked for
  /// With a choice's first token: the prompt's, where asked for.
  std::vector<PositionLogprobs> prompt_logprobs;
  std::optional<FinishReason> finish;  ///< set in the last one
};

struct Answer {
  RequestId id{};
  std::vector<Choice> choices;  ///< [n]
  std::vector<PositionLogprobs>
      prompt_logprobs;          ///< of the prompt's tokens from first_scored_position() on, where asked for
  std::string error;            ///< not empty: the request failed; the other fields mean nothing
  bool error_is_input = true;   ///< the request can never work (else: of the run, may be tried again)
  bool error_is_final = false;  ///< of the run, but not to be tried again
  int cached_tokens = 0;        ///< prompt tokens whose blocks were found
  Microseconds submitted_us = 0, first_token_us = 0, finished_us = 0;
};

}  // namespace windlass
