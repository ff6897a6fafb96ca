/// A template's source as tokens. Follows Jinja with trim_blocks and lstrip_blocks on, as transformers sets them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace windlass::jinja {

enum class TokenKind : unsigned char {
  data,            ///< text outside of tags
  variable_begin,  ///< {{
  variable_end,
  block_begin,  ///< {%
  block_end,
  name,
  string,   ///< `text` is what the quotes hold, escapes replaced
  integer,  ///< `text` as written, without underscores
  real,
  symbol,  ///< an operator or punctuation mark
  end
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;
  int line = 0;
};

/// Throws InputError "NAME: line N: …" for what cannot be a token.
std::vector<Token> tokenize(std::string_view source, std::string const& name);

}  // namespace windlass::jinja
