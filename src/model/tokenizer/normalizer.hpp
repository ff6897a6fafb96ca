/// What a tokenizer does to a text before it is split: Unicode normal forms and replacements.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "src/model/tokenizer/character_map.hpp"
#include "src/model/tokenizer/regex.hpp"

namespace windlass {

enum class NormalForm : unsigned char { nfc, nfd, nfkc, nfkd };
enum class StripSide : unsigned char { left, right, both };

struct NormalizeForm {
  NormalForm form;
};
struct Prepend {
  std::string prefix;  ///< put before a text that is not empty
};
struct Replace {
  Pattern pattern;
  std::string content;
};
struct Strip {
  StripSide side;
};
struct Lowercase {};
struct StripAccents {};    ///< drops combining marks (category Mn)
struct CollapseSpaces {};  ///< drops spaces at both ends and all but one of several
struct MapCharacters {
  std::shared_ptr<CharacterMap const> map;
};

using NormalizerStep =
    std::variant<NormalizeForm, Prepend, Replace, Strip, Lowercase, StripAccents, CollapseSpaces, MapCharacters>;

/// Steps applied one after the other. Immutable once filled; safe to use from any thread.
class Normalizer {
 public:
  /// Throws InputError where the step needs utf8proc and the build lacks it.
  void add(NormalizerStep step);
  bool empty() const { return steps_.empty(); }
  std::string apply(std::string_view text) const;

 private:
  std::vector<NormalizerStep> steps_;
};

/// `text` (valid UTF-8) in a normal form; time is O(n log n) also for long runs of combining marks. Throws InputError
/// in a build without utf8proc.
std::string to_normal_form(std::string_view text, NormalForm form);
/// Simple case mapping: one character to one, but for the upper case of U+00DF, which is "SS". Throws InputError for
/// other than ASCII in a build without utf8proc.
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);

}  // namespace windlass
