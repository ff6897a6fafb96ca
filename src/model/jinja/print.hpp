/// Values as text: str(), repr() and json.dumps().
#pragma once

#include <optional>
#include <string>

#include "src/model/jinja/value.hpp"

namespace windlass::jinja {

/// All three throw Problem where the result grows beyond `max_text_bytes`.
constexpr std::size_t max_text_bytes = std::size_t{64} << 20;

std::string to_text(Value const& value);
std::string representation(Value const& value);

enum class KeyOrder : unsigned char { as_is, sorted };
enum class NonAscii : unsigned char { keep, escape };
struct JsonStyle {
  std::optional<std::string> indent;  ///< of one level; nothing: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  KeyOrder order = KeyOrder::as_is;
  NonAscii non_ascii = NonAscii::keep;
};
std::string to_json(Value const& value, JsonStyle const& style);

/// Python's repr of a float: the shortest decimal that reads back as the same number.
std::string real_text(double value);

}  // namespace windlass::jinja
