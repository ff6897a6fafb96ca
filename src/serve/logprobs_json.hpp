/// Log-probabilities in the three forms that clients read.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "src/engine/request.hpp"
#include "src/model/tokenizer.hpp"
#include "src/serve/json_text.hpp"

namespace windlass {

enum class TokenNames : std::uint8_t { texts, ids };

/// Tokens as text; without a tokenizer, or where ids are wanted, "token_id:N".
class TokenText {
 public:
  explicit TokenText(Tokenizer const* tokenizer, TokenNames names = TokenNames::texts)
      : tokenizer_(tokenizer), names_(names) {}
  std::string bytes(TokenId token) const;
  std::string name(TokenId token) const;  ///< valid UTF-8
  /// OpenAI's legacy form: a token that is not whole characters is written "bytes:\xe2\x80".
  std::string legacy(TokenId token) const;
  Tokenizer const* tokenizer() const { return tokenizer_; }

 private:
  Tokenizer const* tokenizer_;
  TokenNames names_;
};

/// Where the text of a choice has got to, for streams: offsets go on from there.
struct TextPosition {
  Detokenizer detokenizer;
  std::size_t characters = 0;
};

/// The tokens that the legacy form of completions covers: with echo the prompt's too.
struct LegacyLogprobs {
  std::span<TokenId const> prompt;                     ///< empty without echo
  std::span<PositionLogprobs const> prompt_positions;  ///< of the prompt's last tokens
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

struct PromptLogprobs {
  std::size_t prompt_tokens = 0;
  std::span<PositionLogprobs const> positions;  ///< of the last ones
  int top = 0;                                  ///< entries per position, besides the prompt's token
};

/// vLLM's prompt_logprobs: null for tokens that are not scored (the first one never is), then
/// {"ID": {"logprob", "rank", "decoded_token"}}; the rank is null where it is not known (a token that is not among the
/// top ones).
void write_prompt_logprobs(JsonText& out, PromptLogprobs const& prompt, TokenText const& names);

}  // namespace windlass
