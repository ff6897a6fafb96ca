#include "src/model/jinja/print.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "src/core/text.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace windlass::jinja {

namespace {
void check_size(std::string const& out) {
  if (out.size() > max_text_bytes) throw Problem("a text is longer than 64 MiB");
}

std::string hex(unsigned value, int digits) {
  std::string out;
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += "0123456789abcdef"[value >> shift & 0xF];
  return out;
}

std::string quoted(std::string_view text) {
  bool const apostrophes = text.find('\'') != std::string_view::npos;
  char const quote = apostrophes && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (char const c : text) {
    if (c == quote || c == '\\') {
      out += {'\\', c};
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += "\\x" + hex(static_cast<unsigned char>(c), 2);
    } else {
      out += c;
    }
  }
  return out += quote;
}

void represent(Value const& value, std::string& out);

void represent_list(List const& list, std::string& out) {
  bool const tuple = list.kind == ListKind::tuple;
  out += tuple ? '(' : '[';
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out += ", ";
    represent(list.items[i], out);
  }
  if (tuple && list.items.size() == 1) out += ',';
  out += tuple ? ')' : ']';
}

void represent_dict(Dict const& dict, std::string& out) {
  out += '{';
  for (std::size_t i = 0; i < dict.entries.size(); ++i) {
    if (i > 0) out += ", ";
    represent(dict.entries[i].first, out);
    out += ": ";
    represent(dict.entries[i].second, out);
  }
  out += '}';
}

void represent(Value const& value, std::string& out) {
  check_size(out);
  if (auto const* text = value.text()) {
    out += quoted(*text);
  } else if (auto const* list = value.list()) {
    represent_list(*list, out);
  } else if (auto const* dict = value.dict()) {
    represent_dict(*dict, out);
  } else if (value.is_undefined()) {
    out += "Undefined";
  } else {
    out += to_text(value);
  }
}
}  // namespace

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer;
  double const size = std::abs(value);
  bool const scientific = size != 0 && (size < 1e-4 || size >= 1e16);
  auto const format = scientific ? std::chars_format::scientific : std::chars_format::fixed;
  auto const result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format);
  std::string out(buffer.data(), result.ptr);
  if (!scientific && out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::string to_text(Value const& value) {
  if (auto const* text = value.text()) return *text;
  if (value.is_undefined()) return {};
  if (value.is_none()) return "None";
  if (auto const* flag = std::get_if<bool>(&value.data())) return *flag ? "True" : "False";
  if (auto const* integer = value.plain_integer()) return std::to_string(*integer);
  if (auto const* real = std::get_if<double>(&value.data())) return real_text(*real);
  if (value.name_space()) return "<Namespace>";
  if (value.loop()) return text("<LoopContext ", value.loop()->index0 + 1, '/', value.loop()->items.size(), '>');
  if (value.callable()) return text("<function ", value.callable()->name, '>');
  return representation(value);
}

std::string representation(Value const& value) {
  std::string out;
  represent(value, out);
  return out;
}

namespace {
class JsonWriter {
 public:
  explicit JsonWriter(JsonStyle const& style) : style_(style) {}

  std::string write(Value const& value) {
    add(value);
    return std::move(out_);
  }

 private:
  void add(Value const& value) {
    check_size(out_);
    if (auto const* text = value.text()) {
      add_text(*text);
    } else if (value.is_none()) {
      out_ += "null";
    } else if (auto const* flag = std::get_if<bool>(&value.data())) {
      out_ += *flag ? "true" : "false";
    } else if (value.is_number()) {
      add_number(value);
    } else if (auto const* list = value.list()) {
      add_list(*list);
    } else if (auto const* dict = value.dict()) {
      add_dict(*dict);
    } else {
      throw Problem(windlass::text("a value of type '", type_name(value), "' cannot be written as JSON"));
    }
  }

  void add_number(Value const& value) {
    auto const* real = std::get_if<double>(&value.data());
    if (real && !std::isfinite(*real)) {
      out_ += std::isnan(*real) ? "NaN" : (*real < 0 ? "-Infinity" : "Infinity");
    } else {
      out_ += to_text(value);
    }
  }

  void add_text(std::string_view text) {
    out_ += '"';
    while (!text.empty()) {
      Character const next = first_character(text);
      add_character(next.code, text.substr(0, std::size_t(next.bytes)));
      text.remove_prefix(std::size_t(next.bytes));
    }
    out_ += '"';
  }

  void add_character(char32_t code, std::string_view bytes) {
    constexpr std::string_view plain = "\"\\\n\r\t\b\f", letters = "\"\\nrtbf";
    std::size_t const short_form = code < 0x80 ? plain.find(char(code)) : std::string_view::npos;
    if (short_form != std::string_view::npos) {
      out_ += {'\\', letters[short_form]};
    } else if (code < 0x20 || (code >= 0x7F && code < 0x10000 && style_.non_ascii == NonAscii::escape)) {
      out_ += code == 0x7F ? "\x7F" : "\\u" + hex(code, 4);
    } else if (code >= 0x10000 && style_.non_ascii == NonAscii::escape) {
      out_ += "\\u" + hex(0xD800 + ((code - 0x10000) >> 10), 4) + "\\u" + hex(0xDC00 + ((code - 0x10000) & 0x3FF), 4);
    } else {
      out_ += bytes;
    }
  }

  void begin_item(bool first) {
    if (!first) out_ += style_.item_separator;
    new_line();
  }

  void new_line() {
    if (!style_.indent) return;
    out_ += '\n';
    for (int i = 0; i < level_; ++i) out_ += *style_.indent;
    check_size(out_);
  }

  void add_list(List const& list) {
    if (list.items.empty()) return void(out_ += "[]");
    out_ += '[';
    ++level_;
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      begin_item(i == 0);
      add(list.items[i]);
    }
    --level_;
    new_line();
    out_ += ']';
  }

  /// Python's keys: text, or a number, boolean or None written as text.
  std::string key_text(Value const& key) const {
    if (auto const* text = key.text()) return *text;
    if (!key.is_number() && !key.is_none())
      throw Problem(windlass::text("a key of type '", type_name(key), "' in JSON"));
    return JsonWriter(style_).write(key);
  }

  void add_dict(Dict const& dict) {
    if (dict.entries.empty()) return void(out_ += "{}");
    std::vector<std::pair<std::string, Value const*>> fields;
    for (auto const& [key, value] : dict.entries) fields.emplace_back(key_text(key), &value);
    if (style_.order == KeyOrder::sorted)
      std::stable_sort(fields.begin(), fields.end(), [](auto const& a, auto const& b) { return a.first < b.first; });
    out_ += '{';
    ++level_;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      begin_item(i == 0);
      add_text(fields[i].first);
      out_ += style_.key_separator;
      add(*fields[i].second);
    }
    --level_;
    new_line();
    out_ += '}';
  }

  JsonStyle const& style_;
  std::string out_;
  int level_ = 0;
};
}  // namespace

std::string to_json(Value const& value, JsonStyle const& style) { return JsonWriter(style).write(value); }

}  // namespace windlass::jinja
