/// Reads C++ sources just well enough to check the house rules on them; used by tidy_test alone.
#pragma once

#include <cctype>
#include <cstddef>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace windlass::source_scan {

/// `source` with comments, string and character literals blanked out; every line break stays where it was.
class Blanker {
 public:
  explicit Blanker(std::string_view source) : in_(source), out_(source) {}

  std::string run() {
    while (at_ < in_.size()) {
      if (starts("//")) {
        blank_until("\n");
      } else if (starts("/*")) {
        blank_through("*/", 2);
      } else if (starts("R\"")) {
        std::size_t const open = in_.find('(', at_);
        std::string const tag(in_.substr(at_ + 2, open - at_ - 2));
        blank_through(")" + tag + "\"", 2);
      } else if (in_[at_] == '"' || is_character_literal()) {
        blank_quoted(in_[at_]);
      } else {
        ++at_;
      }
    }
    return out_;
  }

 private:
  bool starts(std::string_view word) const { return in_.substr(at_, word.size()) == word; }
  /// A quote after a letter or digit separates digits (1'000).
  bool is_character_literal() const {
    return in_[at_] == '\'' && (at_ == 0 || !std::isalnum(static_cast<unsigned char>(in_[at_ - 1])));
  }
  void blank_to(std::size_t end) {
    for (; at_ < end; ++at_)
      if (in_[at_] != '\n') out_[at_] = ' ';
  }
  void blank_until(std::string_view word) { blank_to(std::min(in_.find(word, at_), in_.size())); }
  void blank_through(std::string_view word, std::size_t skip) {
    std::size_t const found = in_.find(word, at_ + skip);
    blank_to(found == std::string_view::npos ? in_.size() : found + word.size());
  }
  void blank_quoted(char quote) {
    std::size_t end = at_ + 1;
    while (end < in_.size() && in_[end] != quote && in_[end] != '\n') end += in_[end] == '\\' ? 2 : 1;
    blank_to(std::min(end + 1, in_.size()));
  }

  std::string_view in_;
  std::string out_;
  std::size_t at_ = 0;
};

inline std::string without_comments_and_literals(std::string_view source) { return Blanker(source).run(); }

struct Include {
  std::string target;  ///< what stands between the quotes or angle brackets
  bool quoted;
  int line;
};

/// Every #include of a source, in order.
inline std::vector<Include> includes(std::string_view source) {
  std::vector<Include> found;
  std::istringstream lines{std::string(source)};
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::size_t const hash = line.find_first_not_of(" \t");
    if (hash == std::string::npos || line[hash] != '#') continue;
    std::size_t const word = line.find("include", hash), open = line.find_first_of("\"<", hash);
    if (word == std::string::npos || open == std::string::npos || open < word) continue;
    std::size_t const close = line.find(line[open] == '<' ? '>' : '"', open + 1);
    if (close != std::string::npos)
      found.push_back({line.substr(open + 1, close - open - 1), line[open] == '"', number});
  }
  return found;
}

struct Function {
  int first_line, last_line;
  int lines() const { return last_line - first_line + 1; }
};

/// Whether the text before an opening brace (since the last ; { or }) begins a function's body: it has a parameter list
/// and is neither a scope nor an initialiser.
inline bool begins_function(std::string_view head) {
  std::istringstream words{std::string(head)};
  std::string word;
  while (words >> word)
    if (word == "namespace" || word == "enum" || word == "union") return false;
  std::size_t const parenthesis = head.find('('), equals = head.find('=');
  if (parenthesis == std::string_view::npos) return false;
  bool const is_operator = head.find("operator") < parenthesis;
  return is_operator || equals == std::string_view::npos || equals > parenthesis;
}

/// Line ranges of all function bodies outside other functions, signature included. A measure, not a parser: macros and
/// preprocessor branches count as they stand.
inline std::vector<Function> functions(std::string_view source) {
  std::string const text = without_comments_and_literals(source);
  std::vector<Function> found;
  int line = 1, depth = 0, function_depth = -1, head_line = 1;
  std::string head;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char const c = text[i];
    if (c == '\n') ++line;
    if (c == '#' && head.find_first_not_of(" \n\t") == std::string::npos) {  // a directive, with continued lines
      while (i + 1 < text.size() && (text[i + 1] != '\n' || text[i] == '\\'))
        if (text[++i] == '\n') ++line;
      continue;
    }
    if (c == '{') {
      if (function_depth < 0 && begins_function(head)) {
        function_depth = depth;
        found.push_back({head_line, line});
      }
      ++depth;
    } else if (c == '}') {
      --depth;
      if (depth == function_depth) {
        found.back().last_line = line;
        function_depth = -1;
      }
    }
    if (c == '{' || c == '}' || c == ';') {
      head.clear();
    } else {
      if (head.find_first_not_of(" \n\t") == std::string::npos) head_line = line;
      head += c;
    }
  }
  return found;
}

}  // namespace windlass::source_scan
