/// Log-probabilities in the three forms that clients read.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "src/engine/request.hpp"
#include "src/model/tokenizer.hpp"
#include "src/serve/json_text.hpp"

namespace windlass {

/// Tokens as text; without a tokenizer "token_id:N".
class TokenText {
 public:
  explicit TokenText(Tokenizer const* tokenizer) : tokenizer_(tokenizer) {}
  std::string bytes(TokenId token) const;
  /// OpenAI's legacy form: a token that is not whole characters is written "bytes:\xe2\x80".
  std::string legacy(TokenId token) const;
  Tokenizer const* tokenizer() const { return tokenizer_; }

 private:
  Tokenizer const* tokenizer_;
};

/// Where the text of a choice has got to, for streams: offsets go on from there.
struct TextPosition {
  Detokenizer detokenizer;
  std::size_t characters = 0;
};

/// The tokens that the legacy form of completions covers: with echo the prompt's too.
struct LegacyLogprobs {
  std::span<TokenId const> prompt;                     ///< empty without echo
  std::span<PositionLogprobs const> prompt_positions;  ///< [prompt - 1]
  std::span<TokenId const> tokens;
  std::span<PositionLogprobs const> positions;  ///< [tokens]
  int top = 0;                                  ///< entries per position, besides the chosen token
  SpecialText special = SpecialText::skip;      ///< as in the text that the offsets count in
  TextPosition* position = nullptr;             ///< where `tokens` begin; null: behind the prompt
};

/// {"tokens", "token_logprobs", "top_logprobs", "text_offset"}; offsets count characters of the choice's text.
void write_legacy_logprobs(JsonText& out, LegacyLogprobs const& logprobs, TokenText const& names);

/// {"content": [{"token", "bytes", "logprob", "top_logprobs"}]} with `top` entries per position.
void write_chat_logprobs(JsonText& out, std::span<PositionLogprobs const> positions, int top, TokenText const& names);

/// vLLM's prompt_logprobs: null for the first token, then {"ID": {"logprob", "rank", "decoded_token"}}; the rank is
/// null where it is not known (a token that is not among the top ones).
void write_prompt_logprobs(JsonText& out, std::span<PositionLogprobs const> positions, int top, TokenText const& names);

}  // namespace windlass
