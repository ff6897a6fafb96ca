// Where in a JSON file a field stands: a second, forgiving walk over text that the parser has accepted.
#include <algorithm>
#include <cctype>
#include <optional>
#include <set>
#include <string>

#include "jobs/json_fields.hpp"

namespace windlass {
namespace {

class Walk {
 public:
  Walk(std::string_view content, std::string_view wanted) : content_(content), wanted_(wanted) {}

  /// Offset of the longest part of `wanted` that is there.
  std::size_t find() {
    value("");
    return best_;
  }

  struct FieldPlace {
    std::string path;
    std::size_t offset;
  };

  /// The first field that an object has twice.
  std::optional<FieldPlace> repeated() {
    value("");
    return repeated_;
  }

 private:
  char peek() const { return at_ < content_.size() ? content_[at_] : '\0'; }

  void skip_space() {
    while (at_ < content_.size()) {
      std::string_view const rest = content_.substr(at_);
      if (std::isspace(static_cast<unsigned char>(rest[0])))
        ++at_;
      else if (rest.starts_with("//"))
        at_ += std::min(rest.find('\n'), rest.size());
      else if (rest.starts_with("/*"))
        at_ += std::min(rest.find("*/"), rest.size() - 2) + 2;
      else
        return;
    }
  }

  std::string_view word() {
    std::size_t const begin = ++at_;  // behind the quote
    while (at_ < content_.size() && content_[at_] != '"') at_ += content_[at_] == '\\' ? 2 : 1;
    return content_.substr(begin, at_++ - begin);
  }

  /// Is `path` a whole part of what is wanted: followed by nothing, a dot or a bracket?
  void note(std::string const& path, std::size_t offset) {
    if (path.size() < longest_ || !wanted_.starts_with(path)) return;
    if (path.size() < wanted_.size() && wanted_[path.size()] != '.' && wanted_[path.size()] != '[') return;
    longest_ = path.size();
    best_ = offset;
  }

  void value(std::string const& path) {
    skip_space();
    switch (peek()) {
      case '{':
        return members(path);
      case '[':
        return elements(path);
      case '"':
        word();
        return;
      default:
        while (at_ < content_.size() && std::string_view(",]} \t\r\n/").find(peek()) == std::string_view::npos) ++at_;
    }
  }

  void members(std::string const& path) {
    ++at_;
    for (skip_space(); at_ < content_.size() && peek() != '}'; skip_space()) {
      if (peek() != '"') {
        ++at_;  // a comma
        continue;
      }
      std::size_t const offset = at_;
      std::string const inner = path + (path.empty() ? "" : ".") + std::string(word());
      if (!seen_.insert(inner).second && !repeated_) repeated_ = FieldPlace{inner, offset};
      note(inner, offset);
      skip_space();
      ++at_;  // the colon
      value(inner);
    }
    ++at_;
  }

  void elements(std::string const& path) {
    ++at_;
    int index = 0;
    for (skip_space(); at_ < content_.size() && peek() != ']'; skip_space()) {
      if (peek() == ',') {
        ++at_;
        continue;
      }
      std::string const inner = path + "[" + std::to_string(index++) + "]";
      note(inner, at_);
      value(inner);
    }
    ++at_;
  }

  std::string_view content_, wanted_;
  std::size_t at_ = 0, longest_ = 0, best_ = 0;
  std::set<std::string> seen_;
  std::optional<FieldPlace> repeated_;
};

int line_at(std::string_view content, std::size_t offset) {
  return int(std::count(content.begin(), content.begin() + std::ptrdiff_t(offset), '\n')) + 1;
}

}  // namespace

int line_of(std::string_view content, std::string_view where) { return line_at(content, Walk(content, where).find()); }

std::optional<RepeatedField> repeated_field(std::string_view content) {
  auto const found = Walk(content, "").repeated();
  if (!found) return std::nullopt;
  return RepeatedField{.path = found->path, .line = line_at(content, found->offset)};
}

}  // namespace windlass
