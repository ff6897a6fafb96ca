#include <optional>

#include "src/grammar/regex_tree.hpp"

namespace windlass::grammar {
namespace {

constexpr int max_depth = 100;
constexpr std::uint32_t max_times = 10'000;
using Kind = RegexTree::Kind;

class RegexParser {
 public:
  explicit RegexParser(std::u32string_view pattern) : pattern_(pattern) {}

  RegexTree whole() {
    RegexTree tree = alternatives(0);
    if (at_ < pattern_.size()) refuse_regex(at_, "a ')' closes nothing");
    return tree;
  }

 private:
  bool next_is(char32_t c) const { return at_ < pattern_.size() && pattern_[at_] == c; }
  bool take(std::u32string_view what) {
    bool const found = pattern_.substr(at_, what.size()) == what;
    if (found) at_ += what.size();
    return found;
  }

  RegexTree alternatives(int depth) {
    if (depth > max_depth) refuse_regex(at_, "groups lie too deep in each other");
    RegexTree tree{.kind = Kind::alternatives, .characters = {}, .children = {}, .times = {}};
    do tree.children.push_back(sequence(depth));
    while (take(U"|"));
    return tree;
  }

  RegexTree sequence(int depth) {
    RegexTree tree;
    while (at_ < pattern_.size() && !next_is('|') && !next_is(')')) tree.children.push_back(item(depth));
    return tree;
  }

  RegexTree item(int depth) {
    RegexTree tree = atom(depth);
    bool const anchor = tree.kind == Kind::begin || tree.kind == Kind::end;
    std::size_t const begin = at_;
    while (auto const times = quantifier()) {
      if (anchor) refuse_regex(begin, "an anchor cannot be repeated");
      if (tree.kind == Kind::repeat) refuse_regex(begin, "a repetition is repeated; put a group around it");
      RegexTree repeat{.kind = Kind::repeat, .characters = {}, .children = {}, .times = *times};
      repeat.children.push_back(std::move(tree));
      tree = std::move(repeat);
    }
    return tree;
  }

  RegexTree atom(int depth) {
    std::size_t const begin = at_;
    char32_t const c = pattern_[at_++];
    switch (c) {
      case '(':
        return group(depth);
      case '[':
        return characters(regex_class(pattern_, at_));
      case '\\':
        return characters(regex_escape(pattern_, at_));
      case '.':
        return characters(complement({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}));
      case '^':
        return {.kind = Kind::begin, .characters = {}, .children = {}, .times = {}};
      case '$':
        return {.kind = Kind::end, .characters = {}, .children = {}, .times = {}};
      case '*':
      case '+':
      case '?':
        refuse_regex(begin, "there is nothing to repeat");
      case '{':
        refuse_regex(begin, "a '{' that is meant as such is written \\{");
      default:
        return characters({{c, c}});
    }
  }

  static RegexTree characters(CharacterSet set) {
    return {.kind = Kind::characters, .characters = std::move(set), .children = {}, .times = {}};
  }

  RegexTree group(int depth) {
    std::size_t const begin = at_;
    bool const looks = next_is('?') && (pattern_.substr(at_, 3) == U"?<=" || pattern_.substr(at_, 3) == U"?<!");
    if (!looks && (take(U"?P<") || take(U"?<"))) {
      while (at_ < pattern_.size() && !take(U">")) ++at_;
    } else if (next_is('?') && !take(U"?:")) {
      refuse_regex(begin, "of the groups (?…), only (?:…) and (?<name>…) are supported");
    }
    RegexTree tree = alternatives(depth + 1);
    if (!take(U")")) refuse_regex(at_, "a group is not closed");
    return tree;
  }

  std::optional<Times> quantifier() {
    std::optional<Times> times;
    if (take(U"*"))
      times = Times{0, unlimited};
    else if (take(U"+"))
      times = Times{1, unlimited};
    else if (take(U"?"))
      times = Times{0, 1};
    else if (take(U"{"))
      times = counts();
    if (times) {
      take(U"?");  // lazy or not: the same texts fit
      if (next_is('+')) refuse_regex(at_, "a possessive repetition is not supported");
    }
    return times;
  }

  Times counts() {
    std::size_t const begin = at_;
    Times times;
    times.least = count();
    times.most = times.least;
    if (take(U",")) times.most = next_is('}') ? unlimited : count();
    if (!take(U"}") || times.most < times.least) refuse_regex(begin, "a repetition is {n}, {n,} or {n,m} with n <= m");
    return times;
  }

  std::uint32_t count() {
    std::size_t const begin = at_;
    std::uint32_t value = 0;
    for (; at_ < pattern_.size() && pattern_[at_] >= '0' && pattern_[at_] <= '9'; ++at_) {
      value = value * 10 + std::uint32_t(pattern_[at_] - '0');
      if (value > max_times) refuse_regex(begin, "a repetition has at most 10,000 rounds");
    }
    if (at_ == begin) refuse_regex(begin, "a repetition is {n}, {n,} or {n,m}");
    return value;
  }

  std::u32string_view pattern_;
  std::size_t at_ = 0;
};

}  // namespace

RegexTree parse_regex(std::string_view pattern) {
  std::u32string const characters = characters_of(pattern);
  return RegexParser(characters).whole();
}

}  // namespace windlass::grammar
