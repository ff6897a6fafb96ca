#include "src/model/tokenizer/fallback.hpp"

namespace windlass {

void push_fallback(Fallback const& fallback, std::string_view word, Symbol at, std::vector<Symbol>& symbols) {
  bool all_bytes = true;
  for (std::uint32_t i = at.begin; i < at.end; ++i)
    all_bytes = all_bytes && fallback.byte_tokens[static_cast<unsigned char>(word[i])] != no_token;
  if (all_bytes) {
    for (std::uint32_t i = at.begin; i < at.end; ++i)
      symbols.push_back({fallback.byte_tokens[static_cast<unsigned char>(word[i])], i, i + 1});
    return;
  }
  if (fallback.unknown == no_token) return;
  bool const fuse = fallback.unknowns == Unknowns::fused && !symbols.empty() &&
                    symbols.back().token == fallback.unknown && symbols.back().end == at.begin;
  if (fuse) {
    symbols.back().end = at.end;
  } else {
    symbols.push_back({fallback.unknown, at.begin, at.end});
  }
}

void append_with_fallback(std::string_view word, std::vector<Symbol> const& symbols, Fallback const& fallback,
                          std::vector<TokenNumber>& out) {
  std::vector<Symbol> replaced;
  for (Symbol const& symbol : symbols) {
    if (symbol.token != no_token) {
      replaced.push_back(symbol);
    } else {
      push_fallback(fallback, word, symbol, replaced);
    }
  }
  for (Symbol const& symbol : replaced) out.push_back(symbol.token);
}

}  // namespace windlass
