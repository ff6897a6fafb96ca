#include "src/model/tokenizer/added_tokens.hpp"

#include <algorithm>

#include "src/model/tokenizer/unicode.hpp"

namespace windlass {

namespace {
/// Letters, digits and '_'; beyond ASCII everything but white space and common punctuation counts as a letter, since
/// only the neighbours of whole-word tokens are looked at.
bool is_word(char32_t code) {
  if (code < 0x80)
    return (code >= '0' && code <= '9') || (code >= 'A' && code <= 'Z') || (code >= 'a' && code <= 'z') || code == '_';
  bool const punctuation = (code >= 0x2010 && code <= 0x206F) || (code >= 0x3001 && code <= 0x303F) || code == 0xA0 ||
                           (code >= 0xA1 && code <= 0xBF && code != 0xAA && code != 0xB5 && code != 0xBA);
  return !punctuation && !is_space(code);
}

Character last_character(std::string_view text) {
  std::size_t at = text.size() - 1;
  while (at > 0 && is_continuation(text[at])) --at;
  return first_character(text.substr(at));
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  bool const joined_left = begin > 0 && is_word(last_character(text.substr(0, begin)).code);
  bool const joined_right = end < text.size() && is_word(first_character(text.substr(end)).code);
  return !joined_left && !joined_right;
}

std::size_t skip_spaces_left(std::string_view text, std::size_t begin) {
  while (begin > 0) {
    Character const before = last_character(text.substr(0, begin));
    if (!is_space(before.code)) break;
    begin -= std::size_t(before.bytes);
  }
  return begin;
}

std::size_t skip_spaces_right(std::string_view text, std::size_t end) {
  while (end < text.size()) {
    Character const next = first_character(text.substr(end));
    if (!is_space(next.code)) break;
    end += std::size_t(next.bytes);
  }
  return end;
}
}  // namespace

void AddedTokens::add(AddedToken token) {
  if (token.content.empty()) return;
  trie_.add(token.content, TokenNumber(tokens_.size()));
  tokens_.push_back(std::move(token));
}

AddedTokens::Found AddedTokens::find(std::string_view text, std::size_t from) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!trie_.begins(static_cast<unsigned char>(text[begin]))) continue;
    Found longest;
    Trie::Node node = Trie::root;
    for (std::size_t i = begin; i < text.size(); ++i) {
      node = trie_.child(node, static_cast<unsigned char>(text[i]));
      if (node == Trie::no_node) break;
      TokenNumber const entry = trie_.token(node);
      if (entry != no_token) longest = {begin, i + 1, &tokens_[entry]};
    }
    if (longest.token) return longest;
  }
  return {};
}

std::vector<AddedTokens::Part> AddedTokens::divide(std::string_view text) const {
  std::vector<Part> parts;
  std::size_t covered = 0, from = 0;
  while (!tokens_.empty()) {
    Found found = find(text, from);
    if (!found.token) break;
    from = found.end;
    bool const whole_word = found.token->boundary == AddedToken::Boundary::whole_word;
    if (whole_word && !stands_alone(text, found.begin, found.end)) continue;
    using Spaces = AddedToken::Spaces;
    Spaces const spaces = found.token->spaces;
    if (spaces == Spaces::left || spaces == Spaces::both)
      found.begin = skip_spaces_left(text.substr(covered), found.begin - std::min(covered, found.begin)) + covered;
    if (spaces == Spaces::right || spaces == Spaces::both) found.end = skip_spaces_right(text, found.end);
    if (found.begin > covered) parts.push_back({text.substr(covered, found.begin - covered), no_token});
    parts.push_back({text.substr(found.begin, found.end - found.begin), found.token->token});
    covered = found.end;
    from = std::max(from, covered);
  }
  if (covered < text.size()) parts.push_back({text.substr(covered), no_token});
  return parts;
}

}  // namespace windlass
