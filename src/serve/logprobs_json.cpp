#include "src/serve/logprobs_json.hpp"

#include <algorithm>
#include <cstdio>
#include <set>

#include "src/core/text.hpp"

namespace windlass {
namespace {

std::span<TokenLogprob const> first_entries(PositionLogprobs const& position, int top) {
  return std::span(position.top).first(std::min(position.top.size(), std::size_t(top)));
}

bool holds(std::span<TokenLogprob const> entries, TokenId token) {
  return std::any_of(entries.begin(), entries.end(), [&](TokenLogprob const& entry) { return entry.token == token; });
}

/// Top entries and, where it is not among them, the chosen token. Two tokens can have one text: the likelier one
/// stands.
void write_legacy_top(JsonText& out, PositionLogprobs const& position, int top, TokenText const& names) {
  out.begin_object();
  std::set<std::string> written;
  auto const write = [&](TokenLogprob const& entry) {
    std::string const name = names.legacy(entry.token);
    if (written.insert(name).second) out.member(name, entry.logprob);
  };
  for (TokenLogprob const& entry : first_entries(position, top)) write(entry);
  write(position.chosen);
  out.end_object();
}

void write_chat_token(JsonText& out, TokenLogprob const& entry, TokenText const& names) {
  std::string const bytes = names.bytes(entry.token);
  out.member("token", names.name(entry.token)).key("bytes").begin_array();
  for (char const byte : bytes) out.value(int(static_cast<unsigned char>(byte)));
  out.end_array().member("logprob", entry.logprob);
}

void write_text_offsets(JsonText& out, LegacyLogprobs const& logprobs, Tokenizer const* tokenizer) {
  out.key("text_offset").begin_array();
  auto const write = [&](std::span<TokenId const> tokens, TextPosition& position) {
    for (TokenId const token : tokens) {
      out.value(std::uint64_t(position.characters));
      position.characters += count_characters(position.detokenizer.add(token));
    }
  };
  if (tokenizer) {
    TextPosition prompt{.detokenizer = Detokenizer(*tokenizer, logprobs.special)};
    write(logprobs.prompt, prompt);
    std::size_t const prompt_characters = prompt.characters + count_characters(prompt.detokenizer.finish());
    TextPosition own{.detokenizer = Detokenizer(*tokenizer, logprobs.special)};
    TextPosition& position = logprobs.position ? *logprobs.position : own;
    position.characters += prompt_characters;
    write(logprobs.tokens, position);
  } else {
    for (std::size_t i = 0; i < logprobs.prompt.size() + logprobs.tokens.size(); ++i) out.value(0);
  }
  out.end_array();
}

}  // namespace

std::string TokenText::bytes(TokenId token) const {
  if (!tokenizer_) return text("token_id:", number(token));
  return std::string(tokenizer_->bytes(token));
}

std::string TokenText::name(TokenId token) const {
  return names_ == TokenNames::ids ? text("token_id:", number(token)) : valid_utf8(bytes(token));
}

std::string TokenText::legacy(TokenId token) const {
  if (names_ == TokenNames::ids) return name(token);
  std::string const all = bytes(token);
  if (is_utf8(all)) return all;
  std::string out = "bytes:";
  for (char const byte : all) {
    char code[8];
    std::snprintf(code, sizeof code, "\\x%02x", unsigned(static_cast<unsigned char>(byte)));
    out += code;
  }
  return out;
}

void write_legacy_logprobs(JsonText& out, LegacyLogprobs const& logprobs, TokenText const& names) {
  // The prompt's first token has no probability, and others may not be scored.
  auto const write_unscored = [&] {
    for (std::size_t i = logprobs.prompt_positions.size(); i < logprobs.prompt.size(); ++i) out.null();
  };
  out.begin_object().key("tokens").begin_array();
  for (TokenId const token : logprobs.prompt) out.value(names.legacy(token));
  for (TokenId const token : logprobs.tokens) out.value(names.legacy(token));
  out.end_array().key("token_logprobs").begin_array();
  write_unscored();
  for (PositionLogprobs const& position : logprobs.prompt_positions) out.value(position.chosen.logprob);
  for (PositionLogprobs const& position : logprobs.positions) out.value(position.chosen.logprob);
  out.end_array().key("top_logprobs").begin_array();
  write_unscored();
  for (PositionLogprobs const& position : logprobs.prompt_positions)
    write_legacy_top(out, position, logprobs.top, names);
  for (PositionLogprobs const& position : logprobs.positions) write_legacy_top(out, position, logprobs.top, names);
  out.end_array();
  write_text_offsets(out, logprobs, names.tokenizer());
  out.end_object();
}

void write_chat_logprobs(JsonText& out, std::span<PositionLogprobs const> positions, int top, TokenText const& names) {
  out.begin_object().key("content").begin_array();
  for (PositionLogprobs const& position : positions) {
    out.begin_object();
    write_chat_token(out, position.chosen, names);
    out.key("top_logprobs").begin_array();
    for (TokenLogprob const& entry : first_entries(position, top)) {
      out.begin_object();
      write_chat_token(out, entry, names);
      out.end_object();
    }
    out.end_array().end_object();
  }
  out.end_array().end_object();
}

void write_prompt_logprobs(JsonText& out, PromptLogprobs const& prompt, TokenText const& names) {
  auto const write = [&](TokenLogprob const& entry, int rank) {
    out.key(text(number(entry.token))).begin_object().member("logprob", entry.logprob).key("rank");
    if (rank > 0)
      out.value(rank);
    else
      out.null();
    out.member("decoded_token", names.name(entry.token)).end_object();
  };
  out.begin_array();
  for (std::size_t i = prompt.positions.size(); i < prompt.prompt_tokens; ++i) out.null();
  for (PositionLogprobs const& position : prompt.positions) {
    out.begin_object();
    int rank = 0;
    auto const entries = first_entries(position, prompt.top);
    for (TokenLogprob const& entry : entries) write(entry, ++rank);
    if (!holds(entries, position.chosen.token)) write(position.chosen, 0);
    out.end_object();
  }
  out.end_array();
}

}  // namespace windlass
