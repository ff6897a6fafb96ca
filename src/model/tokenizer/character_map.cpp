#include "src/model/tokenizer/character_map.hpp"

#include <algorithm>
#include <cstring>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace windlass {

namespace {
// A unit of the double array (Yata's darts-clone): bit 8 says that a value hangs below; bits 0-7 and 31 are the label;
// bits 10-30 are the offset, shifted by 8 more where bit 9 is set. A unit that is a value has bit 31 set.
bool has_value(std::uint32_t unit) { return (unit >> 8 & 1) != 0; }
std::uint32_t value_of(std::uint32_t unit) { return unit & 0x7FFFFFFFu; }
std::uint32_t label_of(std::uint32_t unit) { return unit & 0x800000FFu; }
std::size_t offset_of(std::uint32_t unit) { return std::size_t(unit >> 10) << ((unit & 0x200u) >> 6); }
}  // namespace

CharacterMap::CharacterMap(std::string_view blob) {
  std::uint32_t trie_bytes = 0;
  if (blob.size() >= sizeof trie_bytes) std::memcpy(&trie_bytes, blob.data(), sizeof trie_bytes);
  if (blob.size() < sizeof trie_bytes || trie_bytes == 0 || trie_bytes % 4 != 0 ||
      trie_bytes > blob.size() - sizeof trie_bytes)
    throw InputError(text("tokenizer: precompiled_charsmap of ", blob.size(), " bytes holds no trie of ", trie_bytes,
                          " bytes; the file is damaged"));
  units_.resize(trie_bytes / 4);
  std::memcpy(units_.data(), blob.data() + sizeof trie_bytes, trie_bytes);
  replacements_ = std::string(blob.substr(sizeof trie_bytes + trie_bytes));
}

CharacterMap::Found CharacterMap::longest(std::string_view text) const {
  Found best;
  std::size_t node = offset_of(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto const byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || label_of(units_[node]) != byte) break;
    std::uint32_t const unit = units_[node];
    node ^= offset_of(unit);
    if (!has_value(unit) || node >= units_.size()) continue;
    std::size_t const replacement = value_of(units_[node]);
    if (replacement < replacements_.size()) best = {i + 1, replacement};
  }
  return best;
}

std::string CharacterMap::apply(std::string_view text) const {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    Found const found = longest(text);
    if (found.bytes > 0) {
      std::size_t const end = std::min(replacements_.find('\0', found.replacement), replacements_.size());
      out.append(replacements_, found.replacement, end - found.replacement);
      text.remove_prefix(found.bytes);
      while (!text.empty() && is_continuation(text[0])) text.remove_prefix(1);
    } else {
      auto const bytes = std::size_t(first_character(text).bytes);
      out += text.substr(0, bytes);
      text.remove_prefix(bytes);
    }
  }
  return first_invalid_utf8(out) == out.size() ? out
                                               : throw InputError(
                                                     "tokenizer: precompiled_charsmap replaces by "
                                                     "text that is not UTF-8; the file is damaged");
}

}  // namespace windlass
