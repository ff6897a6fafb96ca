#include "src/serve/json_text.hpp"

#include <charconv>
#include <cmath>
#include <cstdio>

namespace windlass {
namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";  // U+FFFD
constexpr float no_probability = -9999;

/// Bytes of the well-formed UTF-8 character that `text` begins with; 0 where there is none (Unicode 15, table 3-7).
std::size_t character_bytes(std::string_view text) {
  auto const byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  unsigned const lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  std::size_t const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  unsigned low = 0x80, high = 0xbf;
  if (lead == 0xe0) low = 0xa0;
  if (lead == 0xed) high = 0x9f;
  if (lead == 0xf0) low = 0x90;
  if (lead == 0xf4) high = 0x8f;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  return length;
}

void append_escaped(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
  }
  if (static_cast<unsigned char>(c) >= 0x20) {
    out += c;
    return;
  }
  char code[8];
  std::snprintf(code, sizeof code, "\\u%04x", unsigned(static_cast<unsigned char>(c)));
  out += code;
}

template <class Number>
void append_number(std::string& out, Number number) {
  char digits[40];
  auto const [end, failed] = std::to_chars(digits, digits + sizeof digits, number);
  out.append(digits, end);
}

}  // namespace

void append_json_string(std::string& out, std::string_view value) {
  out += '"';
  while (!value.empty()) {
    std::size_t const length = character_bytes(value);
    if (length == 0)
      out += replacement;
    else if (length == 1)
      append_escaped(out, value.front());
    else
      out += value.substr(0, length);
    value.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

void append_json_float(std::string& out, float value) {
  append_number(out, std::isfinite(value) ? value : no_probability);
}

void append_json_double(std::string& out, double value) {
  append_number(out, std::isfinite(value) ? value : double{no_probability});
}

std::string valid_utf8(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    std::size_t const length = character_bytes(bytes);
    out += length == 0 ? replacement : bytes.substr(0, length);
    bytes.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    std::size_t const length = character_bytes(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::size_t count_characters(std::string_view utf8) {
  std::size_t count = 0;
  for (char const c : utf8) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

void JsonText::separate() {
  if (needs_comma_) out_ += ',';
  needs_comma_ = true;
}

JsonText& JsonText::open(char bracket) {
  separate();
  out_ += bracket;
  needs_comma_ = false;
  return *this;
}

JsonText& JsonText::close(char bracket) {
  out_ += bracket;
  needs_comma_ = true;
  return *this;
}

JsonText& JsonText::key(std::string_view name) {
  separate();
  append_json_string(out_, name);
  out_ += ':';
  needs_comma_ = false;
  return *this;
}

JsonText& JsonText::value(std::string_view words) {
  separate();
  append_json_string(out_, words);
  return *this;
}

JsonText& JsonText::value(std::int64_t number) {
  separate();
  append_number(out_, number);
  return *this;
}

JsonText& JsonText::value(std::uint64_t number) {
  separate();
  append_number(out_, number);
  return *this;
}

JsonText& JsonText::value(float number) {
  separate();
  append_json_float(out_, number);
  return *this;
}

JsonText& JsonText::value(double number) {
  separate();
  append_json_double(out_, number);
  return *this;
}

JsonText& JsonText::value(bool truth) { return raw(truth ? "true" : "false"); }
JsonText& JsonText::null() { return raw("null"); }

JsonText& JsonText::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

}  // namespace windlass
