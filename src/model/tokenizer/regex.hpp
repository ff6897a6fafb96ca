/// Regular expressions as tokenizer.json writes them (Oniguruma's Ruby dialect), run by PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace windlass {

/// Bytes [begin, end) of a text.
struct TextRange {
  std::size_t begin = 0, end = 0;
};

/// A compiled expression, or a plain string to look for. Immutable; safe to use from any thread.
class Pattern {
 public:
  /// Throws InputError where the expression cannot be compiled or the build lacks PCRE2.
  static Pattern regex(std::string const& expression);
  static Pattern literal(std::string text);

  /// Finds matches in one text after the other; belongs to one thread.
  class Search {
   public:
    explicit Search(Pattern const& pattern);
    ~Search();
    Search(Search const&) = delete;
    Search& operator=(Search const&) = delete;
    /// The first match in `text` (valid UTF-8) that begins at byte `from` or later. Throws InputError where matching
    /// needs more than its bound of steps or memory.
    std::optional<TextRange> next(std::string_view text, std::size_t from);

   private:
    struct State;
    Pattern const* pattern_;
    std::unique_ptr<State> state_;
  };

 private:
  struct Code;
  std::string literal_;
  std::string expression_;            ///< for messages
  std::shared_ptr<Code const> code_;  ///< null: a literal
};

/// `expression` in PCRE2's dialect. Throws InputError for constructs that PCRE2 would silently read differently.
std::string to_pcre2_dialect(std::string_view expression);

}  // namespace windlass
