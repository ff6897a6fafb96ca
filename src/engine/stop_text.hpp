/// Stop strings in streamed text.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace windlass {

enum class MatchedText : unsigned char { drop, keep };      ///< whether the answer ends with the stop string
enum class StopSearch : unsigned char { ignore, respect };  ///< ignore: min_tokens are not there yet

/// Finds the stop string that ends first (of those that end together, the longest) whatever the pieces of the text are.
/// Text that may turn out to be part of a stop string is held back. A function of the text alone: a resumed sequence
/// feeds its text again. Bytes are compared; whole characters stay whole if stop strings and pieces are UTF-8.
class StopText {
 public:
  /// `stops`: none empty; there may be none.
  explicit StopText(std::span<std::string const> stops, MatchedText matched = MatchedText::drop);

  /// The text that is certain now. After a stop string, nothing more comes.
  std::string add(std::string_view piece, StopSearch search = StopSearch::respect);
  /// The end of the text without a stop string: what was held back.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  /// One stop string and how much of it the text ends with (Knuth, Morris, Pratt 1977).
  struct Pattern {
    std::string text;
    std::vector<std::size_t> border;  // [text.size() + 1]: longest proper prefix that ends the first i bytes
    std::size_t matched = 0;
  };
  static void advance(Pattern& pattern, char next);

  std::vector<Pattern> patterns_;
  MatchedText matched_text_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace windlass
