#include "src/serve/online/multipart.hpp"

#include <algorithm>
#include <cctype>

#include "src/serve/api_error.hpp"
#include "src/serve/json_text.hpp"

namespace windlass {
namespace {

constexpr std::size_t max_parts = 16, max_head_bytes = 4096, max_boundary_bytes = 70;  // the last is RFC 2046's

[[noreturn]] void refuse(std::string const& problem) {
  throw ApiError({.message = "the body is no multipart/form-data: " + problem, .param = "", .code = "invalid_form"});
}

bool equal_words(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string_view trimmed(std::string_view words) {
  std::size_t const begin = std::min(words.find_first_not_of(" \t"), words.size());
  words.remove_prefix(begin);
  return words.substr(0, words.find_last_not_of(" \t") + 1);
}

/// The value of `; name="value"` in a header; quotes may be missing.
std::string parameter(std::string_view header, std::string_view name) {
  for (std::size_t at = header.find(';'); at != std::string_view::npos; at = header.find(';', at)) {
    ++at;
    std::size_t const equals = header.find('=', at);
    if (equals == std::string_view::npos) break;
    bool const wanted = equal_words(trimmed(header.substr(at, equals - at)), name);
    std::string value;
    at = equals + 1;
    if (at < header.size() && header[at] == '"') {
      for (++at; at < header.size() && header[at] != '"'; ++at) {
        if (header[at] == '\\' && at + 1 < header.size()) ++at;
        value += header[at];
      }
    } else {
      std::size_t const end = std::min(header.find(';', at), header.size());
      value = trimmed(header.substr(at, end - at));
      at = end;
    }
    if (wanted) return value;
  }
  return "";
}

/// Name and file name from the lines of a part's head.
FormPart part_of_head(std::string_view head) {
  constexpr std::string_view wanted = "content-disposition:";
  while (!head.empty()) {
    std::string_view const line = head.substr(0, head.find("\r\n"));
    head.remove_prefix(std::min(line.size() + 2, head.size()));
    if (line.size() < wanted.size() || !equal_words(line.substr(0, wanted.size()), wanted)) continue;
    FormPart part{.name = parameter(line, "name"), .file_name = parameter(line, "filename"), .content = {}};
    if (part.name.empty() || !is_utf8(part.name) || !is_utf8(part.file_name)) refuse("a part has no proper name");
    return part;
  }
  refuse("a part has no Content-Disposition");
}

}  // namespace

std::vector<FormPart> parse_multipart(std::string_view content_type, std::string_view body) {
  std::string_view const kind = trimmed(content_type.substr(0, content_type.find(';')));
  std::string const boundary = parameter(content_type, "boundary");
  if (!equal_words(kind, "multipart/form-data") || boundary.empty() || boundary.size() > max_boundary_bytes)
    refuse("its Content-Type has to be multipart/form-data with a boundary");
  std::string const border = "\r\n--" + boundary;
  std::string_view const first = std::string_view(border).substr(2);
  std::size_t at = body.starts_with(first) ? first.size() : body.find(border);
  if (!body.starts_with(first) && at != std::string_view::npos) at += border.size();
  std::vector<FormPart> parts;
  for (;;) {
    if (at == std::string_view::npos || at + 2 > body.size()) refuse("it ends before its last border");
    if (body.substr(at, 2) == "--") return parts;
    if (body.substr(at, 2) != "\r\n") refuse("a border does not end its line");
    std::size_t const head = at + 2, head_end = body.find("\r\n\r\n", at);
    if (head_end == std::string_view::npos || head_end - at > max_head_bytes) refuse("a part has no end of its head");
    std::size_t const content = head_end + 4, end = body.find(border, head_end + 2);
    if (end == std::string_view::npos || parts.size() == max_parts)
      refuse(parts.size() == max_parts ? "it has more than 16 parts" : "a part has no end");
    parts.push_back(part_of_head(body.substr(head, head_end < head ? 0 : head_end - head)));
    parts.back().content = body.substr(content, end < content ? 0 : end - content);
    at = end + border.size();
  }
}

}  // namespace windlass
