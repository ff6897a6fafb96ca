#include "src/model/tokenizer/fallback.hpp"
#include "src/model/tokenizer/merge_symbols.hpp"
#include "src/model/tokenizer/unicode.hpp"
#include "src/model/tokenizer/word_model.hpp"

namespace windlass {

namespace {
template <class Each>
void for_characters(std::string_view word, Each const& each) {
  for (std::uint32_t begin = 0; begin < word.size();) {
    auto const end = begin + std::uint32_t(utf8_length(static_cast<unsigned char>(word[begin])));
    each(begin, end);
    begin = end;
  }
}

void append(std::vector<Symbol> const& symbols, std::vector<TokenNumber>& out) {
  for (Symbol const& symbol : symbols) out.push_back(symbol.token);
}
}  // namespace

ByteBpe::ByteBpe(Tables tables) : tables_(std::move(tables)) {
  for (int byte = 0; byte < 256; ++byte) {
    char const c = char(byte);
    byte_tokens_[std::size_t(byte)] = tables_.index.find({&c, 1});
  }
}

void ByteBpe::encode(std::string_view word, WordScratch& scratch, std::vector<TokenNumber>& out) const {
  if (tables_.whole_words == WholeWords::take) {
    if (TokenNumber const whole = tables_.index.find(word); whole != no_token) return out.push_back(whole);
  }
  auto& symbols = scratch.symbols;
  symbols.clear();
  Fallback const unknown{.unknown = tables_.unknown, .unknowns = tables_.unknowns};
  for (std::uint32_t i = 0; i < word.size(); ++i) {
    TokenNumber const token = byte_tokens_[static_cast<unsigned char>(word[i])];
    if (token != no_token) {
      symbols.push_back({token, i, i + 1});
    } else if (tables_.unknown != no_token) {
      push_fallback(unknown, word, {no_token, i, i + 1}, symbols);
    }
  }
  detail::merge_symbols(scratch, [this](Symbol const& left, Symbol const& right) {
    return tables_.merges.find(left.token, right.token);
  });
  append(symbols, out);
}

void CharacterBpe::encode(std::string_view word, WordScratch& scratch, std::vector<TokenNumber>& out) const {
  if (tables_.whole_words == WholeWords::take) {
    if (TokenNumber const whole = tables_.index.find(word); whole != no_token) return out.push_back(whole);
  }
  auto& symbols = scratch.symbols;
  symbols.clear();
  for_characters(word, [&](std::uint32_t begin, std::uint32_t end) {
    TokenNumber const token = tables_.index.find(word.substr(begin, end - begin));
    if (token != no_token) {
      symbols.push_back({token, begin, end});
    } else {
      push_fallback(tables_.fallback, word, {no_token, begin, end}, symbols);
    }
  });
  detail::merge_symbols(scratch, [this](Symbol const& left, Symbol const& right) {
    return tables_.merges.find(left.token, right.token);
  });
  append(symbols, out);
}

void ScoreBpe::encode(std::string_view word, WordScratch& scratch, std::vector<TokenNumber>& out) const {
  auto& symbols = scratch.symbols;
  symbols.clear();
  for_characters(word, [&](std::uint32_t begin, std::uint32_t end) {
    symbols.push_back({tables_.index.find(word.substr(begin, end - begin)), begin, end});
  });
  detail::merge_symbols(scratch, [&](Symbol const& left, Symbol const& right) -> Merge {
    TokenNumber const joined = tables_.index.find(word.substr(left.begin, right.end - left.begin));
    return joined == no_token ? Merge{} : Merge{tables_.ranks[joined], joined};
  });
  append_with_fallback(word, symbols, tables_.fallback, out);
}

}  // namespace windlass
