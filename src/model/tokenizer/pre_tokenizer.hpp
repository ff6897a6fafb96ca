/// Cuts a text into the words that are tokenised on their own.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "src/model/tokenizer/regex.hpp"

namespace windlass {

/// What happens to the matches of a pattern.
enum class SplitBehavior : unsigned char { removed, isolated, merged_with_previous, merged_with_next, contiguous };
enum class SplitAt : unsigned char { matches, gaps };  ///< gaps ("invert"): what lies between is taken for the match

struct SplitStep {
  Pattern pattern;
  SplitBehavior behavior = SplitBehavior::isolated;
  SplitAt at = SplitAt::matches;
};
enum class PrefixScheme : unsigned char { always, first, never };  ///< first: only at the start of the whole text
/// Puts `prefix` before a piece that does not begin with it.
struct PrefixStep {
  std::string prefix;
  PrefixScheme scheme = PrefixScheme::always;
};
struct ReplaceStep {
  std::string from, to;
};
/// Begins a piece at every `mark` that does not follow another one.
struct WordStartStep {
  std::string mark;
};
struct ToByteAlphabetStep {};
struct FromByteAlphabetStep {};

using PreTokenizerStep =
    std::variant<SplitStep, PrefixStep, ReplaceStep, WordStartStep, ToByteAlphabetStep, FromByteAlphabetStep>;

enum class TextPlace : unsigned char { start, inside };  ///< whether a piece begins the whole text

/// Steps, each applied to the pieces that the one before left. Immutable once filled; safe to use from any thread.
class PreTokenizer {
 public:
  using Emit = std::function<void(std::string_view)>;  ///< the view is valid during the call

  void add(PreTokenizerStep step) { steps_.push_back(std::move(step)); }
  std::vector<PreTokenizerStep>& steps() { return steps_; }
  /// Calls emit with the words of `text` (valid UTF-8) in order; none is empty.
  void split(std::string_view text, TextPlace place, Emit const& emit) const;

 private:
  std::vector<PreTokenizerStep> steps_;
};

}  // namespace windlass
