#include "src/model/tokenizer/pre_tokenizer.hpp"

#include <algorithm>
#include <memory>

#include "src/model/tokenizer/byte_alphabet.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace windlass {

namespace {
enum class RangeKind : unsigned char { gap, match };

/// Covers the text with gaps and matches, in order: each(TextRange, RangeKind).
template <class Each>
void for_matches(Pattern::Search& search, std::string_view text, Each const& each) {
  std::size_t covered = 0, from = 0;
  while (from < text.size()) {
    auto const match = search.next(text, from);
    if (!match) break;
    if (match->begin > covered) each(TextRange{covered, match->begin}, RangeKind::gap);
    if (match->end > match->begin) each(*match, RangeKind::match);
    covered = from = match->end;
    if (match->begin == match->end && from < text.size()) from += std::size_t(first_character(text.substr(from)).bytes);
  }
  if (covered < text.size()) each(TextRange{covered, text.size()}, RangeKind::gap);
}

/// Joins ranges as the behaviours that look at neighbours want it.
class RangeJoiner {
 public:
  explicit RangeJoiner(SplitBehavior behavior) : behavior_(behavior) {}

  void add(TextRange range, RangeKind kind) {
    bool const join = !ranges_.empty() && joins(kind);
    last_ = kind;
    if (join) {
      ranges_.back().end = range.end;
    } else {
      ranges_.push_back(range);
    }
  }
  std::vector<TextRange> const& ranges() const { return ranges_; }

 private:
  bool joins(RangeKind kind) const {
    switch (behavior_) {
      case SplitBehavior::contiguous:
        return kind == last_;
      case SplitBehavior::merged_with_previous:
        return kind == RangeKind::match && last_ == RangeKind::gap;
      case SplitBehavior::merged_with_next:
        return kind == RangeKind::gap && last_ == RangeKind::match;
      case SplitBehavior::removed:
      case SplitBehavior::isolated:
        return false;
    }
    return false;
  }

  SplitBehavior behavior_;
  RangeKind last_ = RangeKind::gap;
  std::vector<TextRange> ranges_;
};

using EmitPiece = PreTokenizer::Emit;

/// One pass over one text: holds the searches, which belong to one thread.
class Splitter {
 public:
  Splitter(std::vector<PreTokenizerStep> const& steps, EmitPiece const& emit) : steps_(steps), emit_(emit) {
    searches_.resize(steps.size());
    for (std::size_t i = 0; i < steps.size(); ++i)
      if (auto const* split = std::get_if<SplitStep>(&steps[i]))
        searches_[i] = std::make_unique<Pattern::Search>(split->pattern);
  }

  void run(std::size_t step, std::string_view piece, TextPlace place) {
    if (piece.empty()) return;
    if (step == steps_.size()) return emit_(piece);
    std::visit([&](auto const& s) { apply(s, step, piece, place); }, steps_[step]);
  }

 private:
  void apply(SplitStep const& split, std::size_t step, std::string_view piece, TextPlace place) {
    auto const pass_on = [&](TextRange r) {
      run(step + 1, piece.substr(r.begin, r.end - r.begin), r.begin == 0 ? place : TextPlace::inside);
    };
    auto const kind_of = [&](RangeKind found) {
      return (found == RangeKind::match) == (split.at == SplitAt::matches) ? RangeKind::match : RangeKind::gap;
    };
    if (split.behavior == SplitBehavior::isolated)
      return for_matches(*searches_[step], piece, [&](TextRange r, RangeKind) { pass_on(r); });
    if (split.behavior == SplitBehavior::removed)
      return for_matches(*searches_[step], piece, [&](TextRange r, RangeKind found) {
        if (kind_of(found) == RangeKind::gap) pass_on(r);
      });
    RangeJoiner joiner(split.behavior);
    for_matches(*searches_[step], piece, [&](TextRange r, RangeKind found) { joiner.add(r, kind_of(found)); });
    for (TextRange const r : joiner.ranges()) pass_on(r);
  }

  void apply(PrefixStep const& prefix, std::size_t step, std::string_view piece, TextPlace place) {
    bool const wanted =
        prefix.scheme == PrefixScheme::always || (prefix.scheme == PrefixScheme::first && place == TextPlace::start);
    if (!wanted || piece.substr(0, prefix.prefix.size()) == prefix.prefix) return run(step + 1, piece, place);
    run(step + 1, prefix.prefix + std::string(piece), place);
  }

  void apply(ReplaceStep const& replace, std::size_t step, std::string_view piece, TextPlace place) {
    std::string replaced;
    replaced.reserve(piece.size() + piece.size() / 2);
    for (std::size_t at = 0; at < piece.size();) {
      std::size_t const found = std::min(piece.find(replace.from, at), piece.size());
      replaced.append(piece, at, found - at);
      if (found < piece.size()) replaced += replace.to;
      at = found + replace.from.size();
    }
    run(step + 1, replaced, place);
  }

  void apply(WordStartStep const& word, std::size_t step, std::string_view piece, TextPlace place) {
    std::size_t begin = 0, at = 0;
    while (at < piece.size()) {
      std::size_t const mark = piece.find(word.mark, at);
      if (mark == std::string_view::npos) break;
      if (mark > begin && mark != at) {
        run(step + 1, piece.substr(begin, mark - begin), begin == 0 ? place : TextPlace::inside);
        begin = mark;
      }
      at = mark + word.mark.size();
    }
    run(step + 1, piece.substr(begin), begin == 0 ? place : TextPlace::inside);
  }

  void apply(ToByteAlphabetStep const&, std::size_t step, std::string_view piece, TextPlace place) {
    run(step + 1, to_byte_alphabet(piece), place);
  }

  void apply(FromByteAlphabetStep const&, std::size_t step, std::string_view piece, TextPlace place) {
    std::string bytes;
    if (!append_from_byte_alphabet(bytes, piece)) bytes = piece;
    run(step + 1, bytes, place);
  }

  std::vector<PreTokenizerStep> const& steps_;
  EmitPiece const& emit_;
  std::vector<std::unique_ptr<Pattern::Search>> searches_;
};
}  // namespace

void PreTokenizer::split(std::string_view text, TextPlace place, Emit const& emit) const {
  Splitter(steps_, emit).run(0, text, place);
}

}  // namespace windlass
