/// A regular expression as a tree.
#pragma once

#include <string_view>
#include <vector>

#include "src/grammar/characters.hpp"

namespace windlass::grammar {

struct RegexTree {
  enum class Kind : unsigned char { characters, sequence, alternatives, repeat, begin, end } kind = Kind::sequence;
  CharacterSet characters;          ///< Kind::characters, not empty
  std::vector<RegexTree> children;  ///< of a repeat: one
  Times times;                      ///< Kind::repeat
};

/// Throws InputError.
RegexTree parse_regex(std::string_view pattern);

/// The set behind an escape such as \d, or one character. `at` stands behind the backslash and is moved on.
CharacterSet regex_escape(std::u32string_view pattern, std::size_t& at);
/// A class; `at` stands behind its bracket and is moved behind the closing one.
CharacterSet regex_class(std::u32string_view pattern, std::size_t& at);

[[noreturn]] void refuse_regex(std::size_t at, char const* why);

}  // namespace windlass::grammar
