#include "src/model/tool_calls.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>

namespace windlass {

namespace {
namespace json = boost::json;

constexpr std::string_view hermes_begin = "<tool_call>", hermes_end = "</tool_call>", python_tag = "<|python_tag|>";
constexpr std::string_view white_space = " \t\r\n";
/// More broken calls than this are an attack on the time that looking for the next one takes; the rest is text.
constexpr int max_malformed = 64;

bool is_white(char c) { return white_space.find(c) != std::string_view::npos; }

std::size_t skip_white(std::string_view text, std::size_t at) {
  return std::min(text.find_first_not_of(white_space, at), text.size());
}

/// Where the longest end of `text` that may become `tag` begins; text.size() if there is none.
std::size_t cut_tag(std::string_view text, std::string_view tag) {
  std::size_t at = text.size() - std::min(text.size(), tag.size() - 1);
  while (!tag.starts_with(text.substr(at))) ++at;  // ends at text.size(): every tag starts with nothing
  return at;
}

/// The end of the string that begins at `at`, behind its quote; npos if it does not end.
std::size_t string_end(std::string_view text, std::size_t at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '"') return at + 1;
    if (text[at] == '\\') ++at;
  }
  return std::string_view::npos;
}

/// The end of the value that begins at `at` of a valid object's text.
std::size_t value_end(std::string_view text, std::size_t at) {
  for (int depth = 0; at < text.size();) {
    char const c = text[at];
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    at = c == '"' ? string_end(text, at) : at + 1;
  }
  return at;
}

/// A member's value in the text of a valid object, as it was written; the last one counts. Empty if there is none.
std::string_view member_text(std::string_view object, std::string_view name) {
  std::string_view found;
  std::size_t at = skip_white(object, 1);
  while (object[at] == '"') {
    std::size_t const key_end = string_end(object, at);
    std::string_view const key = object.substr(at + 1, key_end - at - 2);
    std::size_t const begin = skip_white(object, object.find(':', key_end) + 1), end = value_end(object, begin);
    if (key == name) found = object.substr(begin, end - begin);
    at = skip_white(object, end);
    if (object[at] == ',') at = skip_white(object, at + 1);
  }
  return found.substr(0, found.find_last_not_of(white_space) + 1);
}

std::optional<json::value> parsed(std::string_view text) {
  json::error_code error;
  json::value value = json::parse(text, error);
  if (error) return std::nullopt;
  return value;
}

/// The arguments as the text of an object; nothing if they are something else.
std::optional<std::string> arguments_text(std::string_view written) {
  std::optional<json::value> value = parsed(written);
  if (value && value->is_string()) {
    std::string const inner(value->get_string());
    value = parsed(inner);
    return value && value->is_object() ? std::optional(inner) : std::nullopt;
  }
  return value && value->is_object() ? std::optional(std::string(written)) : std::nullopt;
}

std::optional<ToolCall> call_from(std::string_view object, ToolCallFormat format) {
  auto const value = parsed(object);
  if (!value || !value->is_object()) return std::nullopt;
  json::value const* const name = value->get_object().if_contains("name");
  if (!name || !name->is_string() || name->get_string().empty()) return std::nullopt;
  std::string_view written = member_text(object, "arguments");
  if (written.empty()) written = member_text(object, "parameters");
  if ((written.empty() || written == "null") && format == ToolCallFormat::hermes) written = "{}";
  auto arguments = arguments_text(written);
  if (!arguments) return std::nullopt;
  return ToolCall{std::string(name->get_string()), std::move(*arguments)};
}

/// Whether an object that begins like this may be a call: other objects are passed on before they are complete.
std::optional<bool> begins_like_call(std::string_view object) {
  constexpr std::array<std::string_view, 5> keys{"name", "arguments", "parameters", "type", "id"};
  std::size_t const quote = skip_white(object, 1);
  if (quote == object.size()) return std::nullopt;
  if (object[quote] != '"') return false;
  std::size_t const end = string_end(object, quote);
  if (end == std::string_view::npos) {
    std::string_view const begun = object.substr(quote + 1);
    bool const open = std::any_of(keys.begin(), keys.end(), [&](auto key) { return key.starts_with(begun); });
    return open ? std::nullopt : std::optional(false);
  }
  return std::find(keys.begin(), keys.end(), object.substr(quote + 1, end - quote - 2)) != keys.end();
}
}  // namespace

ToolCallText ToolCallParser::add(std::string_view text) {
  ToolCallText out;
  buffer_ += text;
  take(Ending::more_to_come, out);
  return out;
}

ToolCallText ToolCallParser::finish() {
  ToolCallText out;
  take(Ending::end, out);
  if (!called_) out.content += spaces_;
  spaces_.clear();
  return out;
}

/// Moves what is decided from buffer_ to `out`.
void ToolCallParser::take(Ending ending, ToolCallText& out) {
  while (!buffer_.empty()) {
    if (malformed_ > max_malformed) return write(buffer_.size(), out);
    if (place_ == Place::behind_call && !skip_separator(ending)) return;
    if (std::size_t const before = find_candidate(ending); before > 0) {
      write(before, out);
      continue;
    }
    Verdict const verdict = judge(ending, out);
    if (verdict == Verdict::undecided) return;
    if (verdict == Verdict::text) write(std::max<std::size_t>(opening().size(), 1), out);
  }
}

/// Drops the ';' between two calls. False: more text must tell whether there is one.
bool ToolCallParser::skip_separator(Ending ending) {
  std::size_t const at = skip_white(buffer_, 0);
  if (at == buffer_.size() && ending == Ending::more_to_come) return false;
  place_ = Place::line_start;
  if (format_ == ToolCallFormat::llama3_json && at < buffer_.size() && buffer_[at] == ';') buffer_.erase(at, 1);
  return true;
}

/// Where in buffer_ a call begins or may begin; its size if nowhere.
std::size_t ToolCallParser::find_candidate(Ending ending) const {
  if (format_ == ToolCallFormat::llama3_json) return find_line_candidate(ending);
  if (std::size_t const found = buffer_.find(hermes_begin); found != std::string::npos) return found;
  return ending == Ending::end ? buffer_.size() : cut_tag(buffer_, hermes_begin);
}

std::size_t ToolCallParser::find_line_candidate(Ending ending) const {
  bool line_start = place_ != Place::inside_line;
  for (std::size_t at = 0; at < buffer_.size(); ++at) {
    std::string_view const rest = std::string_view(buffer_).substr(at);
    bool const tag = rest.starts_with(python_tag) || (ending == Ending::more_to_come && python_tag.starts_with(rest));
    if (tag || (line_start && rest[0] == '{')) return at;
    if (!is_white(rest[0])) line_start = false;
    if (rest[0] == '\n') line_start = true;
  }
  return buffer_.size();
}

/// What stands before the object of the candidate at the front of buffer_.
std::string_view ToolCallParser::opening() const {
  if (format_ == ToolCallFormat::hermes) return hermes_begin;
  return buffer_[0] == '{' ? std::string_view{} : python_tag;
}

ToolCallParser::Verdict ToolCallParser::judge(Ending ending, ToolCallText& out) {
  Verdict verdict = Verdict::call;
  if (scan_.at == 0 && scan_.begin == 0) verdict = reach_object(ending);
  if (verdict == Verdict::call) verdict = read_object(ending);
  if (verdict == Verdict::call) verdict = close(ending, out);
  if (verdict != Verdict::undecided) scan_ = {};
  return verdict;
}

/// Verdict::call: scan_ stands at the object's brace.
ToolCallParser::Verdict ToolCallParser::reach_object(Ending ending) {
  Verdict const unknown = ending == Ending::end ? Verdict::text : Verdict::undecided;
  std::string_view const tag = opening();
  if (buffer_.size() < tag.size()) return unknown;
  std::size_t const at = skip_white(buffer_, tag.size());
  if (at == buffer_.size()) return unknown;
  if (buffer_[at] != '{') return Verdict::text;
  auto const like_call = begins_like_call(std::string_view(buffer_).substr(at));
  if (!like_call) return unknown;
  if (!*like_call) return Verdict::text;
  scan_ = {.begin = at, .at = at, .depth = 0, .in_string = false, .escaped = false};
  return Verdict::call;
}

/// Verdict::call: scan_.at stands behind the object.
ToolCallParser::Verdict ToolCallParser::read_object(Ending ending) {
  Scan& s = scan_;
  if (s.at > s.begin && s.depth == 0) return Verdict::call;
  while (s.at < buffer_.size()) {
    char const c = buffer_[s.at++];
    bool const escaped = std::exchange(s.escaped, false);
    if (s.in_string) {
      s.escaped = !escaped && c == '\\';
      s.in_string = escaped || c != '"';
      continue;
    }
    s.in_string = c == '"';
    if (c == '{' || c == '[') ++s.depth;
    if ((c == '}' || c == ']') && --s.depth == 0) return Verdict::call;
  }
  if (ending == Ending::more_to_come) return Verdict::undecided;
  ++malformed_;
  return Verdict::text;
}

/// What follows the object: Hermes' closing tag, which may be missing at the end of the answer.
ToolCallParser::Verdict ToolCallParser::close(Ending ending, ToolCallText& out) {
  std::string_view const all = buffer_;
  std::size_t end = scan_.at;
  if (format_ == ToolCallFormat::hermes) {
    std::string_view const rest = all.substr(skip_white(all, end));
    bool const whole = rest.starts_with(hermes_end);
    if (!whole && hermes_end.starts_with(rest) && ending == Ending::more_to_come) return Verdict::undecided;
    if (!whole && !hermes_end.starts_with(rest)) return ++malformed_, Verdict::text;
    end = all.size() - rest.size() + std::min(rest.size(), hermes_end.size());
  }
  auto call = call_from(all.substr(scan_.begin, scan_.at - scan_.begin), format_);
  if (!call) return ++malformed_, Verdict::text;
  out.calls.push_back(std::move(*call));
  called_ = true;
  buffer_.erase(0, end);
  place_ = Place::behind_call;
  return Verdict::call;
}

/// Writes the first bytes of buffer_ as content; white space at their end waits for what follows.
void ToolCallParser::write(std::size_t bytes, ToolCallText& out) {
  for (char const c : std::string_view(buffer_).substr(0, bytes)) {
    if (c == '\n') place_ = Place::line_start;
    if (is_white(c)) {
      spaces_ += c;
      continue;
    }
    place_ = Place::inside_line;
    if (wrote_ || !called_) out.content += spaces_;
    spaces_.clear();
    out.content += c;
    wrote_ = true;
  }
  buffer_.erase(0, bytes);
}

ToolCallText parse_tool_calls(std::string_view text, ToolCallFormat format) {
  ToolCallParser parser(format);
  ToolCallText out = parser.add(text);
  ToolCallText rest = parser.finish();
  out.content += rest.content;
  std::move(rest.calls.begin(), rest.calls.end(), std::back_inserter(out.calls));
  return out;
}

std::optional<ToolCallFormat> tool_call_format_of(std::string_view chat_template) {
  auto const has = [&](std::string_view words) { return chat_template.find(words) != std::string_view::npos; };
  if (has(hermes_begin) && !has("<function=")) return ToolCallFormat::hermes;
  if (has("ipython") && has("\"parameters\":")) return ToolCallFormat::llama3_json;
  return std::nullopt;
}

}  // namespace windlass
