#include "src/model/jinja/strings.hpp"

#include <algorithm>

#include "src/model/jinja/value.hpp"
#include "src/model/tokenizer/normalizer.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace windlass::jinja {

namespace {
std::size_t last_character_begin(std::string_view text) {
  std::size_t at = text.size() - 1;
  while (at > 0 && is_continuation(text[at])) --at;
  return at;
}

/// Whether the first character is white space (Python adds the four separators of ASCII), or one of `characters`.
bool is_stripped(std::string_view character, std::optional<std::string_view> characters) {
  if (!characters) return is_space(first_character(character).code) || (character[0] >= 0x1C && character[0] <= 0x1F);
  return characters->find(character) != std::string_view::npos;
}
}  // namespace

std::size_t count_characters(std::string_view text) {
  return std::size_t(std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

std::vector<std::string_view> split_characters(std::string_view text) {
  std::vector<std::string_view> out;
  out.reserve(text.size());
  while (!text.empty()) {
    auto const bytes = std::size_t(first_character(text).bytes);
    out.push_back(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return out;
}

std::string_view strip(std::string_view text, Side side, std::optional<std::string_view> characters) {
  while (side != Side::right && !text.empty()) {
    auto const first = text.substr(0, std::size_t(first_character(text).bytes));
    if (!is_stripped(first, characters)) break;
    text.remove_prefix(first.size());
  }
  while (side != Side::left && !text.empty()) {
    std::size_t const last = last_character_begin(text);
    if (!is_stripped(text.substr(last), characters)) break;
    text = text.substr(0, last);
  }
  return text;
}

namespace {
std::vector<std::string_view> split_at_spaces(std::string_view text, std::int64_t max_splits) {
  std::vector<std::string_view> out;
  text = strip(text, Side::left);
  while (!text.empty()) {
    if (max_splits >= 0 && std::int64_t(out.size()) == max_splits) {
      out.push_back(strip(text, Side::right));
      break;
    }
    std::size_t end = 0;
    while (end < text.size() && !is_stripped(text.substr(end), std::nullopt))
      end += std::size_t(first_character(text.substr(end)).bytes);
    out.push_back(text.substr(0, end));
    text = strip(text.substr(end), Side::left);
  }
  return out;
}
}  // namespace

std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator,
                                    std::int64_t max_splits) {
  if (!separator) return split_at_spaces(text, max_splits);
  if (separator->empty()) throw Problem("split by an empty separator");
  std::vector<std::string_view> out;
  while (max_splits < 0 || std::int64_t(out.size()) < max_splits) {
    std::size_t const found = text.find(*separator);
    if (found == std::string_view::npos) break;
    out.push_back(text.substr(0, found));
    text.remove_prefix(found + separator->size());
  }
  out.push_back(text);
  return out;
}

std::vector<std::string_view> split_from_right(std::string_view text, std::string_view separator,
                                               std::int64_t max_splits) {
  if (separator.empty()) throw Problem("split by an empty separator");
  std::vector<std::string_view> out;
  while (max_splits < 0 || std::int64_t(out.size()) < max_splits) {
    std::size_t const found = text.rfind(separator);
    if (found == std::string_view::npos) break;
    out.push_back(text.substr(found + separator.size()));
    text = text.substr(0, found);
  }
  out.push_back(text);
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    std::size_t const end = std::min(text.find_first_of("\n\r"), text.size());
    out.push_back(text.substr(0, end));
    text.remove_prefix(end);
    if (text.substr(0, 2) == "\r\n") text.remove_prefix(1);
    if (!text.empty()) text.remove_prefix(1);
  }
  return out;
}

std::string replace(std::string_view text, Replacement const& replacement, std::size_t max_bytes) {
  std::string out;
  std::int64_t left = replacement.count;
  std::size_t at = 0;
  while (at <= text.size() && left != 0) {
    std::size_t const found = text.find(replacement.from, at);
    if (found == std::string_view::npos) break;
    out.append(text, at, found - at).append(replacement.to);
    if (out.size() > max_bytes) throw Problem("replace makes a text that is too long");
    at = found + replacement.from.size();
    --left;
    if (!replacement.from.empty()) continue;
    if (at == text.size()) return out;  // an empty text stands before every character and at the end
    auto const bytes = std::size_t(first_character(text.substr(at)).bytes);
    out.append(text, at, bytes);
    at += bytes;
  }
  return out.append(text.substr(at));
}

std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  auto const first = std::size_t(first_character(text).bytes);
  return to_upper(text.substr(0, first)) + to_lower(text.substr(first));
}

namespace {
template <class BeginsWord>
std::string map_title(std::string_view text, BeginsWord const& begins_word) {
  std::string out;
  bool at_start = true;
  for (std::string_view const character : split_characters(text)) {
    out += at_start ? to_upper(character) : to_lower(character);
    at_start = begins_word(character);
  }
  return out;
}
}  // namespace

std::string title(std::string_view text) {
  return map_title(text, [](std::string_view c) {  // letters are what changes with case; other scripts have no title
    bool const ascii_letter = (c[0] >= 'a' && c[0] <= 'z') || (c[0] >= 'A' && c[0] <= 'Z');
    return c.size() == 1 ? !ascii_letter : to_upper(c) == to_lower(c);
  });
}

std::string title_by_spaces(std::string_view text) {
  return map_title(text, [](std::string_view c) {
    return is_space(first_character(c).code) || std::string_view("-({[<").find(c) != std::string_view::npos;
  });
}

}  // namespace windlass::jinja
