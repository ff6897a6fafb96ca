#include "src/model/tokenizer/sentence_piece.hpp"

#include <algorithm>
#include <charconv>

namespace windlass {

std::optional<unsigned char> byte_of_token(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return std::nullopt;
  unsigned value = 0;
  auto const result = std::from_chars(text.data() + 3, text.data() + 5, value, 16);
  if (result.ec != std::errc{} || result.ptr != text.data() + 5) return std::nullopt;
  return static_cast<unsigned char>(value);
}

std::string with_spaces_for_marks(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t const mark = std::min(text.find(space_mark, at), text.size());
    out.append(text, at, mark - at);
    if (mark < text.size()) out += ' ';
    at = mark + space_mark.size();
  }
  return out;
}

bool has_inner_mark(std::string_view text) {
  while (text.substr(0, space_mark.size()) == space_mark) text.remove_prefix(space_mark.size());
  return text.find(space_mark) != std::string_view::npos;
}

}  // namespace windlass
