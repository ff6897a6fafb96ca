#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/grammar/regex_tree.hpp"

namespace windlass::grammar {
namespace {

CharacterSet const digits{{'0', '9'}};
CharacterSet const word_characters{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
// Languages differ on some: \s are those that are white space everywhere, \S those that are nowhere.
CharacterSet const white_space{{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                               {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}};
CharacterSet const sometimes_white_space{{0x1C, 0x1F}, {0x85, 0x85}, {0xFEFF, 0xFEFF}};

CharacterSet never_white_space() {
  CharacterSet all = white_space;
  all.insert(all.end(), sometimes_white_space.begin(), sometimes_white_space.end());
  return complement(all);
}

CharacterSet one(char32_t c) { return {{c, c}}; }

int hexadecimal(char32_t c) {
  if (c >= '0' && c <= '9') return int(c - '0');
  if (c >= 'a' && c <= 'f') return int(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return int(c - 'A') + 10;
  return -1;
}

char32_t read_hexadecimal(std::u32string_view pattern, std::size_t& at, std::size_t count) {
  char32_t value = 0;
  for (std::size_t i = 0; i < count; ++i, ++at) {
    int const digit = at < pattern.size() ? hexadecimal(pattern[at]) : -1;
    if (digit < 0) refuse_regex(at, "a hexadecimal digit is missing");
    value = value * 16 + char32_t(digit);
  }
  return value;
}

/// \uXXXX; two that make a surrogate pair are one character.
char32_t read_unicode(std::u32string_view pattern, std::size_t& at) {
  char32_t const high = read_hexadecimal(pattern, at, 4);
  if (high < 0xD800 || high > 0xDFFF) return high;
  if (high > 0xDBFF || pattern.substr(at, 2) != U"\\u") refuse_regex(at, "half a surrogate pair stands alone");
  at += 2;
  char32_t const low = read_hexadecimal(pattern, at, 4);
  if (low < 0xDC00 || low > 0xDFFF) refuse_regex(at, "half a surrogate pair stands alone");
  return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

bool is_letter_or_digit(char32_t c) { return (c >= '0' && c <= '9') || (c | 32) - 'a' < 26; }

}  // namespace

void refuse_regex(std::size_t at, char const* why) {
  throw InputError(text("the regular expression, at character ", at, ": ", why));
}

CharacterSet regex_escape(std::u32string_view pattern, std::size_t& at) {
  if (at == pattern.size()) refuse_regex(at, "it ends with a backslash");
  char32_t const c = pattern[at++];
  switch (c) {
    case 'd':
      return digits;
    case 'D':
      return complement(digits);
    case 'w':
      return word_characters;
    case 'W':
      return complement(word_characters);
    case 's':
      return white_space;
    case 'S':
      return never_white_space();
    case 't':
      return one('\t');
    case 'n':
      return one('\n');
    case 'r':
      return one('\r');
    case 'f':
      return one('\f');
    case 'v':
      return one('\v');
    case 'x':
      return one(read_hexadecimal(pattern, at, 2));
    case 'u':
      return one(read_unicode(pattern, at));
    default:
      if (is_letter_or_digit(c))
        refuse_regex(at - 1, "this escape is not supported (back references, \\b and \\p need more than an automaton)");
      return one(c);
  }
}

CharacterSet regex_class(std::u32string_view pattern, std::size_t& at) {
  bool const negated = at < pattern.size() && pattern[at] == '^';
  if (negated) ++at;
  CharacterSet set;
  auto const item = [&] {
    if (at >= pattern.size()) refuse_regex(at, "a character class is not closed");
    char32_t const c = pattern[at++];
    if (c == '[' && at < pattern.size() && pattern[at] == ':') refuse_regex(at, "[:…:] is not supported");
    if (c == '\\' && at < pattern.size() && pattern[at] == 'b') {
      ++at;
      return one('\b');
    }
    return c == '\\' ? regex_escape(pattern, at) : one(c);
  };
  for (bool first = true; first || at >= pattern.size() || pattern[at] != ']'; first = false) {
    if (first && at < pattern.size() && pattern[at] == ']') refuse_regex(at, "a character class is empty");
    CharacterSet low = item();
    bool const range = at + 1 < pattern.size() && pattern[at] == '-' && pattern[at + 1] != ']';
    if (range) {
      ++at;
      CharacterSet const high = item();
      bool const characters =
          low.size() == 1 && low[0].low == low[0].high && high.size() == 1 && high[0].low == high[0].high;
      if (!characters || low[0].low > high[0].low) refuse_regex(at, "a range of a class is not from low to high");
      low[0].high = high[0].high;
    }
    set.insert(set.end(), low.begin(), low.end());
  }
  ++at;
  set = negated ? complement(set) : intersection(normalised(std::move(set)), complement({}));
  if (set.empty()) refuse_regex(at, "a class has no character");
  return set;
}

}  // namespace windlass::grammar
