#include "src/model/tokenizer/unicode.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <utility>

namespace windlass {

namespace {
/// The bytes that may follow `lead` in second place (Unicode standard, table 3-7): no overlong forms, no surrogates,
/// nothing above U+10FFFF.
bool second_byte_fits(unsigned char lead, unsigned char second) {
  switch (lead) {
    case 0xE0:
      return second >= 0xA0 && second <= 0xBF;
    case 0xED:
      return second >= 0x80 && second <= 0x9F;
    case 0xF0:
      return second >= 0x90 && second <= 0xBF;
    case 0xF4:
      return second >= 0x80 && second <= 0x8F;
    default:
      return second >= 0x80 && second <= 0xBF;
  }
}
}  // namespace

int utf8_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;
  if (lead < 0xE0) return 2;
  if (lead < 0xF0) return 3;
  return lead < 0xF5 ? 4 : 0;
}

CharacterPrefix character_prefix(std::string_view text) {
  auto const lead = static_cast<unsigned char>(text[0]);
  int const length = utf8_length(lead);
  if (length <= 1) return {length, length == 1};
  if (text.size() < 2 || !second_byte_fits(lead, static_cast<unsigned char>(text[1]))) return {1, false};
  int bytes = 2;
  while (bytes < length && std::size_t(bytes) < text.size() && is_continuation(text[std::size_t(bytes)])) ++bytes;
  return {bytes, bytes == length};
}

std::size_t first_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::uint64_t eight;
    if (at + 8 <= text.size() && (std::memcpy(&eight, text.data() + at, 8), (eight & 0x8080808080808080u) == 0)) {
      at += 8;
      continue;
    }
    CharacterPrefix const next = character_prefix(text.substr(at));
    if (!next.complete) return at;
    at += std::size_t(next.bytes);
  }
  return at;
}

Character first_character(std::string_view text) {
  auto const byte = [&](int i) { return char32_t(static_cast<unsigned char>(text[std::size_t(i)])); };
  int const bytes = utf8_length(static_cast<unsigned char>(text[0]));
  if (bytes == 2) return {(byte(0) & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (bytes == 3) return {(byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  if (bytes == 4)
    return {(byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
  return {byte(0), 1};
}

void append_utf8(std::string& out, char32_t code) {
  if (code < 0x80) {
    out += char(code);
  } else if (code < 0x800) {
    out += {char(0xC0 | code >> 6), char(0x80 | (code & 0x3F))};
  } else if (code < 0x10000) {
    out += {char(0xE0 | code >> 12), char(0x80 | (code >> 6 & 0x3F)), char(0x80 | (code & 0x3F))};
  } else {
    out += {char(0xF0 | code >> 18), char(0x80 | (code >> 12 & 0x3F)), char(0x80 | (code >> 6 & 0x3F)),
            char(0x80 | (code & 0x3F))};
  }
}

bool is_space(char32_t code) {
  if (code <= 0x20) return code == 0x20 || (code >= 0x09 && code <= 0x0D);
  if (code < 0x1680) return code == 0x85 || code == 0xA0;
  return code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F ||
         code == 0x205F || code == 0x3000;
}

bool is_nfc_inert(char32_t code) {
  constexpr std::pair<char32_t, char32_t> ranges[] = {
      {0x0000, 0x02FF},   // Latin
      {0x3041, 0x3096},   // Hiragana
      {0x309B, 0xA48C},   // Katakana, Bopomofo, CJK
      {0xAC00, 0xD7A3},   // Hangul syllables
      {0x3000, 0x3029},   // CJK punctuation
      {0xFF01, 0xFFEF},   // full and half width
      {0x0400, 0x0482},   // Cyrillic
      {0x048A, 0x052F},   //
      {0x0391, 0x03CE},   // Greek
      {0x0620, 0x064A},   // Arabic
      {0x05D0, 0x05EA},   // Hebrew
      {0x0E01, 0x0E30},   // Thai consonants
      {0x1E00, 0x1EFF},   // Latin with marks
      {0x2002, 0x20CF},   // punctuation
      {0x2190, 0x2328},   // arrows, operators
      {0x232B, 0x2ADB},   // box drawing, shapes
      {0x1F000, 0x1FAFF}  // emoji
  };
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [code](auto const& range) { return code >= range.first && code <= range.second; });
}

}  // namespace windlass
