/// Filters that make text.
#include "src/core/text.hpp"
#include "src/model/jinja/print.hpp"
#include "src/model/jinja/runtime.hpp"
#include "src/model/jinja/strings.hpp"
#include "src/model/tokenizer/normalizer.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace windlass::jinja {

namespace {
template <std::string (*map)(std::string_view)>
Value mapped(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("a filter of text", arguments, {});
  return runtime.text(map(to_text(value)));
}

Value trim(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("trim", arguments, {"chars"});
  std::string const content = to_text(value);
  if (!bound.find(0) || bound.find(0)->is_none()) return runtime.text(std::string(strip(content, Side::both)));
  return runtime.text(std::string(strip(content, Side::both, bound.text(0))));
}

Value string(Runtime& runtime, Value const& value, Arguments const&) { return runtime.text(to_text(value)); }
Value safe(Runtime&, Value const& value, Arguments const&) { return value; }

Value escape(Runtime& runtime, Value const& value, Arguments const&) {
  std::string out;
  for (char const c : to_text(value)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return runtime.text(std::move(out));
}

Value replace_filter(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("replace", arguments, {"old", "new", "count"});
  std::string const from = to_text(bound.required(0)), to = to_text(bound.required(1));
  bool const all = !bound.find(2) || bound.find(2)->is_none();
  std::int64_t const count = all ? -1 : bound.integer_or(2, -1);
  return runtime.text(replace(to_text(value), {from, to, count}, max_text_bytes));
}

std::string indent_of(Value const* width, std::size_t otherwise) {
  if (!width) return std::string(otherwise, ' ');
  if (width->text()) return *width->text();
  std::int64_t const spaces = to_integer(*width, "an integer or text for an indent");
  if (spaces > 256) throw Problem("an indent is wider than 256");
  return std::string(std::size_t(spaces < 0 ? 0 : spaces), ' ');
}

Value indent(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("indent", arguments, {"width", "first", "blank"});
  std::string const margin = indent_of(bound.find(0), 4);
  bool const blank_lines = bound.flag(2);
  std::string content = to_text(value);
  content += '\n';  // as Jinja does, so that a last empty line survives
  std::string out;
  auto const lines = split_lines(content);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    bool const wanted = i == 0 ? bound.flag(1) : (blank_lines || !lines[i].empty());
    out.append(i > 0 ? "\n" : "").append(wanted ? margin : "").append(lines[i]);
    if (out.size() > max_text_bytes) throw Problem("indent makes a text longer than 64 MiB");
  }
  return runtime.text(std::move(out));
}

Value tojson(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  Value const* const width = bound.find(1);
  JsonStyle style;
  if (width && !width->is_none()) {
    style.indent = indent_of(width, 0);
    style.item_separator.assign(1, ',');
  }
  if (Value const* separators = bound.find(2); separators && !separators->is_none()) {
    std::vector<Value> const both = iterate(runtime, *separators);
    if (both.size() != 2) throw Problem("tojson wants two separators");
    style.item_separator = to_text(both[0]);
    style.key_separator = to_text(both[1]);
  }
  if (bound.flag(3)) style.order = KeyOrder::sorted;
  if (bound.flag(0)) style.non_ascii = NonAscii::escape;
  return runtime.text(to_json(value, style));
}

Value center(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("center", arguments, {"width"});
  std::string const content = to_text(value);
  auto const width = bound.integer_or(0, 80), length = std::int64_t(count_characters(content));
  if (width > 10000) throw Problem("center to more than 10000 characters");
  if (width <= length) return content;
  std::int64_t const missing = width - length, left = missing / 2 + (missing & width & 1);
  std::string out(std::size_t(left), ' ');
  out.append(content).append(std::size_t(missing - left), ' ');
  return runtime.text(std::move(out));
}

Value wordcount(Runtime&, Value const& value, Arguments const&) {
  return std::int64_t(split(to_text(value), std::nullopt, -1).size());
}

std::string title_of(std::string_view content) { return title_by_spaces(content); }

constexpr std::pair<std::string_view, FilterFunction> filters[] = {{"trim", trim},
                                                                   {"upper", mapped<to_upper>},
                                                                   {"lower", mapped<to_lower>},
                                                                   {"capitalize", mapped<capitalize>},
                                                                   {"string", string},
                                                                   {"title", mapped<title_of>},
                                                                   {"safe", safe},
                                                                   {"replace", replace_filter},
                                                                   {"escape", escape},
                                                                   {"e", escape},
                                                                   {"forceescape", escape},
                                                                   {"indent", indent},
                                                                   {"tojson", tojson},
                                                                   {"center", center},
                                                                   {"wordcount", wordcount}};
}  // namespace

FilterFunction find_text_filter(std::string_view name) {
  for (auto const& [known, filter] : filters)
    if (known == name) return filter;
  return nullptr;
}

}  // namespace windlass::jinja
