/// What stands for characters that are no token.
#pragma once

#include <string_view>
#include <vector>

#include "src/model/tokenizer/word_model.hpp"

namespace windlass {

/// Adds what stands for the character at bytes [at.begin, at.end) of the word.
void push_fallback(Fallback const& fallback, std::string_view word, Symbol at, std::vector<Symbol>& symbols);

/// Appends the tokens of `symbols`, with what stands for those that have none.
void append_with_fallback(std::string_view word, std::vector<Symbol> const& symbols, Fallback const& fallback,
                          std::vector<TokenNumber>& out);

}  // namespace windlass
