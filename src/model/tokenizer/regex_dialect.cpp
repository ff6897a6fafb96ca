/// Oniguruma (Ruby syntax) to PCRE2: what both read alike is copied, what they read differently is rewritten.
#include <cstdint>
#include <vector>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/tokenizer/regex.hpp"

#ifdef WINDLASS_HAS_PCRE2
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#endif

namespace windlass {

namespace {

#if defined(PCRE2_MINOR) && (PCRE2_MAJOR > 10 || PCRE2_MINOR >= 40)
// PCRE2's \s also takes U+180E, which has not been white space since Unicode 6.3.
constexpr std::string_view space_class = "\\p{WSpace}", not_space_class = "\\P{WSpace}";
#else
constexpr std::string_view space_class = "\\s", not_space_class = "\\S";
#endif
constexpr std::string_view word_items = "\\p{L}\\p{M}\\p{Nd}\\p{Pc}";
constexpr std::string_view hex_items = "0-9a-fA-F";

/// Translates from left to right; `out_` holds what is done.
class DialectTranslator {
 public:
  explicit DialectTranslator(std::string_view expression) : in_(expression) {}

  std::string translate() {
    while (at_ < in_.size()) {
      switch (in_[at_]) {
        case '\\':
          begin_atom();
          out_ += escape(false);
          break;
        case '[':
          begin_atom();
          out_ += character_class();
          break;
        case '(':
          open_group();
          break;
        case ')':
          close_group();
          break;
        case '{':
          braces();
          break;
        default:
          plain();
          break;
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view construct) const {
    throw InputError(text("tokenizer: the regular expression '", in_, "' is not supported: ", construct));
  }

  void begin_atom() { atom_ = out_.size(); }
  bool next_is(std::string_view what) const { return in_.substr(at_, what.size()) == what; }

  void plain() {
    char const c = in_[at_++];
    bool const part_of_last_atom = c == '*' || c == '+' || c == '?' || (static_cast<unsigned char>(c) & 0xC0) == 0x80;
    if (!part_of_last_atom) begin_atom();
    out_ += c;
  }

  void open_group() {
    groups_.push_back(out_.size());
    out_ += in_[at_++];
    if (!next_is("?")) return;
    out_ += in_[at_++];
    // Ruby's (?m) lets the dot match a line break, which is (?s) here.
    while (at_ < in_.size() && (in_[at_] == 'i' || in_[at_] == 'm' || in_[at_] == 'x' || in_[at_] == '-')) {
      out_ += in_[at_] == 'm' ? 's' : in_[at_];
      ++at_;
    }
    if (at_ < in_.size() && in_[at_] != ')' && in_[at_] != '(' && in_[at_] != '\\' && in_[at_] != '[')
      out_ += in_[at_++];
  }

  void close_group() {
    if (groups_.empty()) refuse("')' without '('");
    atom_ = groups_.back();
    groups_.pop_back();
    out_ += in_[at_++];
  }

  /// {n,m} repeats; in Ruby a '+' behind it repeats the whole again, in PCRE2 it forbids backtracking.
  void braces() {
    std::size_t const end = in_.find('}', at_);
    std::string_view inside = end == std::string_view::npos ? std::string_view{} : in_.substr(at_ + 1, end - at_ - 1);
    if (inside.empty() || inside == "," || inside.find_first_not_of("0123456789,") != std::string_view::npos) {
      begin_atom();
      out_ += "\\{";
      ++at_;
      return;
    }
    at_ = end + 1;
    bool const repeated_again = next_is("+");
    if (repeated_again) {
      ++at_;
      out_.insert(atom_, "(?:");
    }
    out_ += text('{', inside[0] == ',' ? "0" : "", inside, '}');
    if (repeated_again) out_ += ")+";
  }

  std::string escape(bool inside_class) {
    if (at_ + 1 >= in_.size()) refuse("it ends with a backslash");
    char const c = in_[at_ + 1];
    at_ += 2;
    switch (c) {
      case 's':
        return std::string(space_class);
      case 'S':
        return std::string(not_space_class);
      case 'w':
        return inside_class ? std::string(word_items) : text('[', word_items, ']');
      case 'h':
        return inside_class ? std::string(hex_items) : text('[', hex_items, ']');
      case 'W':
      case 'H':
        if (inside_class) refuse("\\W or \\H inside a character class");
        return text("[^", c == 'W' ? word_items : hex_items, ']');
      case 'u':
        return code_point();
      default:
        return std::string({'\\', c}).append(braced_argument(c));
    }
  }

  /// The {…} that belongs to \p, \x and the like.
  std::string_view braced_argument(char escaped) {
    constexpr std::string_view with_argument = "pPxokgN";
    if (with_argument.find(escaped) == std::string_view::npos || !next_is("{")) return {};
    std::size_t const end = in_.find('}', at_);
    if (end == std::string_view::npos) refuse("'{' without '}'");
    std::string_view const argument = in_.substr(at_, end + 1 - at_);
    at_ = end + 1;
    return argument;
  }

  std::string code_point() {
    std::string_view const digits = in_.substr(at_, 4);
    if (digits.size() < 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
      refuse("\\u without four hexadecimal digits");
    at_ += 4;
    return text("\\x{", digits, '}');
  }

  /// At '[': the class, with intersections (a&&b) written as lookaheads.
  std::string character_class() {
    ++at_;
    bool const negated = next_is("^");
    if (negated) ++at_;
    std::vector<std::string> operands(1);
    bool first = true;
    while (!next_is("]") || first) {
      if (at_ >= in_.size()) refuse("'[' without ']'");
      if (next_is("&&")) {
        at_ += 2;
        operands.emplace_back();
      } else {
        operands.back() += class_item(operands.back().empty());
      }
      first = false;
    }
    ++at_;
    return join_operands(operands, negated ? "[^" : "[");
  }

  /// One item of a class. A class inside a class is accepted as the only item of an intersection's operand.
  std::string class_item(bool only_item) {
    if (in_[at_] == '\\') return escape(true);
    if (next_is("[:")) {
      std::size_t const end = in_.find(":]", at_);
      if (end == std::string_view::npos) refuse("'[:' without ':]'");
      std::string item(in_.substr(at_, end + 2 - at_));
      at_ = end + 2;
      return item;
    }
    if (in_[at_] != '[') return std::string(1, in_[at_++]);
    if (++nested_classes_ > max_nested_classes) refuse("classes inside classes inside classes");
    std::string nested = character_class();
    --nested_classes_;
    bool const alone = only_item && (next_is("&&") || next_is("]"));
    if (!alone || nested.front() != '[') refuse("a character class inside a character class; write it as one class");
    return nested;
  }

  std::string join_operands(std::vector<std::string> const& operands, std::string_view opening) const {
    auto const as_class = [](std::string const& operand) {
      return operand.front() == '[' && operand.back() == ']' ? operand : text('[', operand, ']');
    };
    for (std::string const& operand : operands)
      if (operand.empty()) refuse("an empty operand of '&&'");
    if (operands.size() == 1) {
      bool const nested = operands[0].front() == '[' && operands[0].substr(0, 2) != "[:";
      if (nested) refuse("a character class inside a character class; write it as one class");
      return text(opening, operands[0], ']');
    }
    std::string all;
    for (std::size_t i = 1; i < operands.size(); ++i) all += text("(?=", as_class(operands[i]), ')');
    all += as_class(operands[0]);
    return opening == "[" ? text("(?:", all, ')') : text("(?:(?!", all, ")(?s:.))");
  }

  static constexpr int max_nested_classes = 2;
  std::string_view in_;
  std::size_t at_ = 0;
  std::string out_;
  std::size_t atom_ = 0;             ///< where in `out_` the item begins that a repetition would repeat
  std::vector<std::size_t> groups_;  ///< where in `out_` the open groups begin
  int nested_classes_ = 0;
};

}  // namespace

std::string to_pcre2_dialect(std::string_view expression) { return DialectTranslator(expression).translate(); }

}  // namespace windlass
