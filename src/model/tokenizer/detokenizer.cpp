#include "src/model/tokenizer.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace windlass {

namespace {
constexpr std::string_view replacement = "\xEF\xBF\xBD";

/// Moves whole characters from the front of `pending` to `out`; what can never become one is replaced. What may still
/// become a character stays.
void take_characters(std::string& pending, std::string& out) {
  std::string_view rest = pending;
  while (!rest.empty()) {
    CharacterPrefix const next = character_prefix(rest);
    if (next.complete) {
      out += rest.substr(0, std::size_t(next.bytes));
    } else if (next.bytes > 0 && std::size_t(next.bytes) == rest.size()) {
      break;
    } else {
      out += replacement;
    }
    rest.remove_prefix(std::size_t(next.bytes > 0 ? next.bytes : 1));
  }
  pending.erase(0, pending.size() - rest.size());
}
}  // namespace

std::string Detokenizer::add(TokenId token) {
  bool const special = tokenizer_->is_special(token);
  if (special && special_ == SpecialText::skip) return {};
  std::string_view bytes = tokenizer_->bytes(token);
  if (bytes.empty()) return {};
  bool const first_space = at_start_ && !special && tokenizer_->drops_first_space() && bytes[0] == ' ';
  at_start_ = false;
  if (first_space) bytes.remove_prefix(1);
  pending_ += bytes;
  std::string out;
  take_characters(pending_, out);
  return out;
}

std::string Detokenizer::finish() {
  std::string out;
  take_characters(pending_, out);
  if (!pending_.empty()) out += replacement;
  pending_.clear();
  at_start_ = true;
  return out;
}

std::string decode(Tokenizer const& tokenizer, std::vector<TokenId> const& tokens, SpecialText special) {
  Detokenizer detokenizer(tokenizer, special);
  std::string out;
  for (TokenId const token : tokens) out += detokenizer.add(token);
  return out + detokenizer.finish();
}

}  // namespace windlass
