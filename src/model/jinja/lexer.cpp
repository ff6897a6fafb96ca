#include "src/model/jinja/lexer.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/jinja/strings.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace windlass::jinja {

namespace {
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

/// One kind of line break; the last one goes, as Jinja drops it.
std::string with_plain_line_breaks(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    bool const carriage_return = source[i] == '\r';
    if (carriage_return && i + 1 < source.size() && source[i + 1] == '\n') continue;
    out += carriage_return ? '\n' : source[i];
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string_view source, std::string const& name) : source_(with_plain_line_breaks(source)), name_(name) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) text_and_tag();
    push(TokenKind::end, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(std::string_view problem) const {
    throw InputError(text(name_, ": line ", line_, ": ", problem));
  }
  void push(TokenKind kind, std::string_view content) { tokens_.push_back({kind, std::string(content), line_}); }
  bool next_is(std::string_view what) const { return std::string_view(source_).substr(at_, what.size()) == what; }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }

  void advance(std::size_t bytes) {
    line_ +=
        int(std::count(source_.begin() + std::ptrdiff_t(at_), source_.begin() + std::ptrdiff_t(at_ + bytes), '\n'));
    at_ += bytes;
  }

  void skip_spaces() {
    std::string_view const rest = std::string_view(source_).substr(at_);
    advance(rest.size() - strip(rest, Side::left).size());
  }

  /// Text up to the next tag, stripped as the tag says, then the tag.
  void text_and_tag() {
    std::size_t begin = source_.find('{', at_);
    while (begin != std::string::npos && !is_tag(begin)) begin = source_.find('{', begin + 1);
    std::size_t const end = std::min(begin, source_.size());
    std::string_view data = std::string_view(source_).substr(at_, end - at_);
    if (end == source_.size()) {
      if (!data.empty()) push(TokenKind::data, data);
      return advance(data.size());
    }
    data = strip_before_tag(data, end);
    if (!data.empty()) push(TokenKind::data, data);
    advance(end - at_);
    char const kind = peek(1);
    advance(2);
    if (peek() == '-' || peek() == '+') advance(1);
    if (kind == '#') return comment();
    if (kind == '%' && raw_block()) return;
    tag(kind == '%' ? TagKind::block : TagKind::variable);
  }

  bool is_tag(std::size_t at) const {
    char const next = at + 1 < source_.size() ? source_[at + 1] : '\0';
    return next == '{' || next == '%' || next == '#';
  }

  /// `tag`: where the tag begins that ends the text.
  std::string_view strip_before_tag(std::string_view data, std::size_t tag) const {
    char const sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (sign == '-') return strip(data, Side::right);
    if (sign == '+' || source_[tag + 1] == '{') return data;
    std::size_t const line_begin = data.rfind('\n') + 1;  // npos + 1 == 0
    bool const begins_line = line_begin > 0 || line_starting_;
    return begins_line && strip(data.substr(line_begin), Side::left).empty() ? data.substr(0, line_begin) : data;
  }

  /// Behind a tag: "-" swallows white space, otherwise blocks and comments swallow one line break.
  void after_tag(char sign) {
    std::size_t const before = at_;
    if (sign == '-') {
      skip_spaces();
    } else if (sign != '+' && peek() == '\n') {
      advance(1);
    }
    line_starting_ = at_ > before && source_[at_ - 1] == '\n';
  }

  void comment() {
    std::size_t const end = source_.find("#}", at_);
    if (end == std::string::npos) fail("a comment has no end '#}'");
    char const sign = end > at_ ? source_[end - 1] : '\0';
    advance(end + 2 - at_);
    after_tag(sign);
  }

  /// At "raw %}": everything up to endraw is text.
  bool raw_block() {
    std::size_t const begin = at_, begin_line = std::size_t(line_);
    skip_spaces();
    char const behind = peek(3);
    bool const raw = next_is("raw") && !is_name_start(behind) && !is_digit(behind);
    if (raw) advance(3);
    if (raw) skip_spaces();
    bool const strips = peek() == '-';
    if (raw && strips) advance(1);
    if (!raw || !next_is("%}")) {
      at_ = begin;
      line_ = int(begin_line);
      return false;
    }
    advance(2);
    if (strips) skip_spaces();
    line_starting_ = at_ > 0 && source_[at_ - 1] == '\n';
    raw_text();
    return true;
  }

  void raw_text() {
    for (std::size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 2)) {
      std::string_view rest = std::string_view(source_).substr(tag + 2);
      if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
      rest = strip(rest, Side::left);
      if (rest.substr(0, 6) != "endraw") continue;
      rest = strip(rest.substr(6), Side::left);
      char const sign = rest.empty() ? '\0' : rest[0];
      if (sign == '-' || sign == '+') rest.remove_prefix(1);
      if (rest.substr(0, 2) != "%}") continue;
      std::string_view const data = strip_before_tag(std::string_view(source_).substr(at_, tag - at_), tag);
      if (!data.empty()) push(TokenKind::data, data);
      advance(source_.size() - (rest.size() - 2) - at_);
      return after_tag(sign);
    }
    fail("{% raw %} has no {% endraw %}");
  }

  enum class TagKind : unsigned char { variable, block };

  void tag(TagKind kind) {
    bool const block = kind == TagKind::block;
    push(block ? TokenKind::block_begin : TokenKind::variable_begin, block ? "{%" : "{{");
    std::string_view const end = block ? "%}" : "}}";
    brackets_.clear();
    for (;;) {
      skip_spaces();
      if (at_ >= source_.size()) fail(text("a tag has no end '", end, "'"));
      bool const signed_end =
          (peek() == '-' || (block && peek() == '+')) && std::string_view(source_).substr(at_ + 1, 2) == end;
      if (brackets_.empty() && (signed_end || next_is(end))) {
        push(block ? TokenKind::block_end : TokenKind::variable_end, end);
        char const sign = signed_end ? peek() : '\0';
        advance(signed_end ? 3 : 2);
        return after_tag(block || sign == '-' ? sign : '+');
      }
      expression_token();
    }
  }

  void expression_token() {
    char const c = peek();
    if (is_digit(c)) {
      number();
    } else if (is_name_start(c)) {
      std::size_t end = at_;
      while (end < source_.size() && (is_name_start(source_[end]) || is_digit(source_[end]))) ++end;
      push(TokenKind::name, std::string_view(source_).substr(at_, end - at_));
      advance(end - at_);
    } else if (c == '"' || c == '\'') {
      string(c);
    } else {
      symbol();
    }
  }

  void number() {
    if (peek() == '0' && std::string_view("xXoObB").find(peek(1)) != std::string_view::npos && peek(1) != '\0')
      fail("numbers other than decimal ones are not supported");
    std::string digits;
    bool real = false;
    auto const take_digits = [&] {
      for (; is_digit(peek()) || (peek() == '_' && is_digit(peek(1))); advance(1))
        if (peek() != '_') digits += peek();
    };
    auto const take = [&](int characters) {
      for (; characters > 0; --characters, advance(1)) digits += peek();
    };
    take_digits();
    if (peek() == '.' && is_digit(peek(1))) {
      real = true;
      take(1);
      take_digits();
    }
    bool const exponent = (peek() == 'e' || peek() == 'E') &&
                          (is_digit(peek(1)) || ((peek(1) == '+' || peek(1) == '-') && is_digit(peek(2))));
    if (exponent) {
      real = true;
      take(is_digit(peek(1)) ? 1 : 2);
      take_digits();
    }
    push(real ? TokenKind::real : TokenKind::integer, digits);
  }

  void string(char quote) {
    int const begin_line = line_;
    std::string out;
    advance(1);
    while (peek() != quote) {
      if (at_ >= source_.size()) fail("a string has no end");
      if (peek() == '\\') {
        escape(out);
      } else {
        out += peek();
        advance(1);
      }
    }
    advance(1);
    tokens_.push_back({TokenKind::string, std::move(out), begin_line});
  }

  void escape(std::string& out) {
    constexpr std::string_view letters = "ntrbfav0\\'\"", meanings("\n\t\r\b\f\a\v\0\\'\"", 11);
    char const c = peek(1);
    std::size_t const known = at_ + 1 < source_.size() ? letters.find(c) : std::string_view::npos;
    if (c == 'x' || c == 'u' || c == 'U') return escaped_code(c == 'x' ? 2 : (c == 'u' ? 4 : 8), out);
    advance(std::min<std::size_t>(2, source_.size() - at_));
    if (c == '\n') return;  // a line continued
    if (known == std::string_view::npos) {
      out += {'\\', c};
    } else {
      out += meanings[known];
    }
  }

  void escaped_code(std::size_t digits, std::string& out) {
    std::string_view const code = std::string_view(source_).substr(at_ + 2, digits);
    bool const valid =
        code.size() == digits && code.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
    unsigned long const value = valid ? std::stoul(std::string(code), nullptr, 16) : 0x110000;
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) fail("a string has an escape that is no character");
    append_utf8(out, char32_t(value));
    advance(2 + digits);
  }

  void symbol() {
    constexpr std::string_view two[] = {"//", "**", "==", "!=", ">=", "<="};
    constexpr std::string_view one = "+-/*%~[](){}><=.:|,";
    for (std::string_view const operation : two)
      if (next_is(operation)) return push_symbol(operation);
    std::string_view const c = std::string_view(source_).substr(at_, 1);
    if (one.find(c) == std::string_view::npos) fail(text("the character '", c, "' is not expected in a tag"));
    track_brackets(c[0]);
    push_symbol(c);
  }

  void push_symbol(std::string_view operation) {
    std::size_t const bytes = operation.size();
    push(TokenKind::symbol, operation);
    advance(bytes);
  }

  void track_brackets(char c) {
    constexpr std::string_view opening = "([{", closing = ")]}";
    if (opening.find(c) != std::string_view::npos) brackets_ += c;
    std::size_t const pair = closing.find(c);
    if (pair == std::string_view::npos) return;
    if (brackets_.empty() || brackets_.back() != opening[pair]) fail(text("'", c, "' without '", opening[pair], "'"));
    brackets_.pop_back();
  }

  std::string const source_;
  std::string const& name_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  ///< whether the last tag swallowed a line break, or the template begins
  std::string brackets_;       ///< open ones inside a tag: while there are any, '}}' does not end it
};
}  // namespace

std::vector<Token> tokenize(std::string_view source, std::string const& name) { return Lexer(source, name).run(); }

}  // namespace windlass::jinja
