#include "src/serve/fields.hpp"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>

#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"

namespace windlass {
namespace {

namespace json = boost::json;
constexpr std::size_t shown_characters = 60;

/// The value as it stands in the request, cut where it is long.
std::string shown(json::value const& value) {
  if (value.is_array() && value.get_array().size() > 8) return text("a list of ", value.get_array().size());
  if (value.is_object()) return "an object";
  std::string all = json::serialize(value);
  if (all.size() <= shown_characters) return all;
  std::size_t end = shown_characters;
  while (end > 0 && (static_cast<unsigned char>(all[end]) & 0xc0) == 0x80) --end;  // no half character in a message
  return all.substr(0, end) + "…";
}

std::optional<std::int64_t> as_integer(json::value const& value) {
  if (auto const* number = value.if_int64()) return *number;
  if (auto const* number = value.if_double(); number && std::abs(*number) < 9e15 && std::trunc(*number) == *number)
    return std::int64_t(*number);
  return std::nullopt;
}

std::optional<double> as_number(json::value const& value) {
  if (auto const* number = value.if_int64()) return double(*number);
  if (auto const* number = value.if_uint64()) return double(*number);
  if (auto const* number = value.if_double(); number && std::isfinite(*number)) return *number;
  return std::nullopt;
}

}  // namespace

json::value const* Fields::find(char const* key) const {
  json::value const* const value = object_->if_contains(key);
  return value && !value->is_null() ? value : nullptr;
}

void Fields::refuse(char const* key, std::string const& expected) const {
  json::value const* const value = object_->if_contains(key);
  throw ApiError({.message = text("'", key, "' must be ", expected, "; it is ", value ? shown(*value) : "missing"),
                  .param = key,
                  .code = "invalid_value"});
}

std::optional<double> Fields::number(char const* key, NumberRange range) const {
  json::value const* const value = find(key);
  if (!value) return std::nullopt;
  auto const number = as_number(*value);
  bool const open = range.least_is == NumberRange::Least::excluded;
  if (!number || *number < range.least || (open && *number == range.least) || *number > range.most)
    refuse(key, text("a number ", open ? "above " : "from ", range.least, " to ", range.most));
  return number;
}

std::optional<std::int64_t> Fields::integer(char const* key, IntegerRange range) const {
  json::value const* const value = find(key);
  if (!value) return std::nullopt;
  auto const number = as_integer(*value);
  if (!number || *number < range.least || *number > range.most)
    refuse(key, text("an integer from ", range.least, " to ", range.most));
  return number;
}

std::optional<bool> Fields::boolean(char const* key) const {
  json::value const* const value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_bool()) refuse(key, "true or false");
  return value->get_bool();
}

std::optional<std::string> Fields::string(char const* key) const {
  json::value const* const value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_string()) refuse(key, "a string");
  return std::string(value->get_string());
}

json::object const* Fields::object(char const* key) const {
  json::value const* const value = find(key);
  if (!value) return nullptr;
  if (!value->is_object()) refuse(key, "an object");
  return &value->get_object();
}

json::array const* Fields::array(char const* key) const {
  json::value const* const value = find(key);
  if (!value) return nullptr;
  if (!value->is_array()) refuse(key, "a list");
  return &value->get_array();
}

std::vector<TokenId> Fields::token_ids(char const* key, int vocab) const {
  std::vector<TokenId> ids;
  json::array const* const list = array(key);
  if (!list) return ids;
  for (json::value const& element : *list) {
    auto const id = as_token_id(element, vocab);
    if (!id) refuse(key, text("a list of token ids from 0 to ", vocab - 1));
    ids.push_back(*id);
  }
  return ids;
}

std::optional<TokenId> as_token_id(json::value const& value, int vocab) {
  auto const number = as_integer(value);
  if (!number || *number < 0 || *number >= vocab) return std::nullopt;
  return TokenId(std::uint32_t(*number));
}

}  // namespace windlass
