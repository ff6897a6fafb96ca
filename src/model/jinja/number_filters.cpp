/// Filters that make numbers.
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "src/core/text.hpp"
#include "src/model/jinja/print.hpp"
#include "src/model/jinja/runtime.hpp"
#include "src/model/jinja/strings.hpp"

namespace windlass::jinja {

namespace {
std::optional<double> parse_real(std::string_view content) {
  content = strip(content, Side::both);
  if (content.starts_with('+')) content.remove_prefix(1);
  double real = 0;
  auto const result = std::from_chars(content.data(), content.data() + content.size(), real);
  if (content.empty() || result.ec != std::errc{} || result.ptr != content.data() + content.size()) return std::nullopt;
  return real;
}

std::optional<std::int64_t> parse_integer(std::string_view content, int base) {
  content = strip(content, Side::both);
  if (content.starts_with('+')) content.remove_prefix(1);
  constexpr std::pair<int, char> prefixes[] = {{16, 'x'}, {8, 'o'}, {2, 'b'}};
  for (auto const& [prefixed, letter] : prefixes)
    if (base == prefixed && content.size() > 2 && content[0] == '0' && (content[1] | 0x20) == letter)
      content.remove_prefix(2);
  std::int64_t integer = 0;
  auto const result = std::from_chars(content.data(), content.data() + content.size(), integer, base);
  if (content.empty() || result.ec != std::errc{} || result.ptr != content.data() + content.size()) return std::nullopt;
  return integer;
}

std::optional<std::int64_t> truncated(double real) {
  if (!std::isfinite(real) || std::abs(real) >= 9.2e18) return std::nullopt;
  return std::int64_t(real);
}

Value abs(Runtime&, Value const& value, Arguments const& arguments) {
  Bound const bound("abs", arguments, {});
  if (auto const* real = std::get_if<double>(&value.data())) return std::abs(*real);
  return to_integer(value, "a number") < 0 ? negative(value) : Value(to_integer(value, "a number"));
}

Value to_int(Runtime&, Value const& value, Arguments const& arguments) {
  Bound const bound("int", arguments, {"default", "base"});
  Value const otherwise = bound.find(0) ? *bound.find(0) : Value(0);
  std::int64_t const base = bound.integer_or(1, 10);
  if (base < 2 || base > 36) throw Problem("int wants a base from 2 to 36");
  std::optional<std::int64_t> result;
  if (value.is<bool>() || value.is<std::int64_t>()) {
    result = to_integer(value, "an integer");
  } else if (auto const* real = std::get_if<double>(&value.data())) {
    result = truncated(*real);
  } else if (auto const* content = value.text()) {
    result = parse_integer(*content, int(base));
    if (auto const real = parse_real(*content); !result && real) result = truncated(*real);
  }
  return result ? Value(*result) : otherwise;
}

Value to_float(Runtime&, Value const& value, Arguments const& arguments) {
  Bound const bound("float", arguments, {"default"});
  if (value.is_number()) return to_real(value);
  auto const real = value.text() ? parse_real(*value.text()) : std::nullopt;
  return real ? Value(*real) : (bound.find(0) ? *bound.find(0) : Value(0.0));
}

Value round(Runtime&, Value const& value, Arguments const& arguments) {
  Bound const bound("round", arguments, {"precision", "method"});
  std::int64_t const precision = bound.integer_or(0, 0);
  std::string_view const method = bound.text_or(1, "common");
  double const real = to_real(value);
  if (precision < 0 || precision > 15) throw Problem("round wants a precision from 0 to 15");
  if (!std::isfinite(real) || (method == "common" && !value.is<double>())) return value;
  double const scale = std::pow(10.0, double(precision));
  if (method == "ceil") return std::ceil(real * scale) / scale;
  if (method == "floor") return std::floor(real * scale) / scale;
  if (method != "common") throw Problem("round's method is common, ceil or floor");
  std::array<char, 512> buffer;  // the decimal expansion rounds the exact binary value, as Python does
  std::snprintf(buffer.data(), buffer.size(), "%.*f", int(precision), real);
  return std::strtod(buffer.data(), nullptr);
}

Value length(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("length", arguments, {});
  if (auto const* list = value.list()) return std::int64_t(list->items.size());
  if (auto const* dict = value.dict()) return std::int64_t(dict->entries.size());
  if (auto const* content = value.text()) {
    runtime.spend(content->size() / 64 + 1);
    return std::int64_t(count_characters(*content));
  }
  if (value.is_undefined()) return 0;
  throw Problem(text("a value of type '", type_name(value), "' has no length"));
}

constexpr std::pair<std::string_view, FilterFunction> filters[] = {
    {"abs", abs}, {"int", to_int}, {"float", to_float}, {"round", round}, {"length", length}, {"count", length}};
}  // namespace

FilterFunction find_number_filter(std::string_view name) {
  for (auto const& [known, filter] : filters)
    if (known == name) return filter;
  return nullptr;
}

}  // namespace windlass::jinja
