/// JSON written piece by piece: answers hold long lists of float32 numbers, which must read back exactly.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace windlass {

/// Appends `value` in quotes, escaped. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view value);
/// The shortest decimal that reads back as this float32. Infinite and undefined values, which JSON has not, become
/// -9999 (vLLM's word for a log-probability of minus infinity).
void append_json_float(std::string& out, float value);
void append_json_double(std::string& out, double value);  ///< the same for 64 bits

/// `bytes` with everything that is not UTF-8 replaced by U+FFFD.
std::string valid_utf8(std::string_view bytes);
bool is_utf8(std::string_view bytes);
std::size_t count_characters(std::string_view utf8);  ///< code points

/// Writes one JSON value; commas are put where they belong. Calls must nest as JSON does.
class JsonText {
 public:
  JsonText& begin_object() { return open('{'); }
  JsonText& end_object() { return close('}'); }
  JsonText& begin_array() { return open('['); }
  JsonText& end_array() { return close(']'); }
  JsonText& key(std::string_view name);
  JsonText& value(std::string_view words);
  JsonText& value(char const* words) { return value(std::string_view(words)); }
  JsonText& value(std::int64_t number);
  JsonText& value(std::uint64_t number);
  JsonText& value(int number) { return value(std::int64_t{number}); }
  JsonText& value(float number);
  JsonText& value(double number);
  JsonText& value(bool truth);
  JsonText& null();
  JsonText& raw(std::string_view json);  ///< a value that is JSON already

  template <class Value>
  JsonText& member(std::string_view name, Value const& content) {
    return key(name).value(content);
  }
  std::string take() { return std::move(out_); }
  std::string const& text() const { return out_; }

 private:
  JsonText& open(char bracket);
  JsonText& close(char bracket);
  void separate();

  std::string out_;
  bool needs_comma_ = false;
};

}  // namespace windlass
