#include "src/model/json_reader.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

template <class T, class Take>
std::vector<T> elements(JsonReader const& reader, std::string_view key, Take const& take) {
  std::vector<T> out;
  boost::json::value const* const value = reader.find(key);
  if (value == nullptr) return out;
  if (!value->is_array()) reader.fail(key, "is not a list");
  for (boost::json::value const& element : value->get_array()) out.push_back(take(element));
  return out;
}

std::optional<std::int64_t> as_integer(boost::json::value const& value) {
  boost::json::error_code error;
  auto const number = value.to_number<std::int64_t>(error);  // accepts 8.0, refuses 8.5
  if (error) return {};
  return number;
}

}  // namespace

boost::json::value parse_json(std::string_view text_to_parse, std::string const& source) {
  boost::json::error_code error;
  boost::json::parse_options options;
  options.max_depth = 64;
  boost::json::value value = boost::json::parse({text_to_parse.data(), text_to_parse.size()}, error, {}, options);
  if (error) throw InputError(text(source, ": is not JSON: ", error.message()));
  return value;
}

boost::json::object parse_json_object(std::string_view text_to_parse, std::string const& source) {
  boost::json::value value = parse_json(text_to_parse, source);
  if (!value.is_object()) throw InputError(source + ": is not a JSON object");
  return std::move(value.get_object());
}

boost::json::value const* JsonReader::find(std::string_view key) const {
  boost::json::value const* const value = object_->if_contains({key.data(), key.size()});
  return value == nullptr || value->is_null() ? nullptr : value;
}

void JsonReader::fail(std::string_view key, std::string_view reason) const {
  throw InputError(windlass::text(source_, ": ", key, " ", reason));
}

std::optional<std::int64_t> JsonReader::integer(std::string_view key) const {
  boost::json::value const* const value = find(key);
  if (value == nullptr) return {};
  std::optional<std::int64_t> const number = as_integer(*value);
  if (!number) fail(key, "is not an integer");
  return number;
}

std::optional<double> JsonReader::number(std::string_view key) const {
  boost::json::value const* const value = find(key);
  if (value == nullptr) return {};
  if (!value->is_number()) fail(key, "is not a number");
  return value->to_number<double>();
}

std::optional<bool> JsonReader::boolean(std::string_view key) const {
  boost::json::value const* const value = find(key);
  if (value == nullptr) return {};
  if (!value->is_bool()) fail(key, "is not true or false");
  return value->get_bool();
}

std::optional<std::string> JsonReader::text(std::string_view key) const {
  boost::json::value const* const value = find(key);
  if (value == nullptr) return {};
  if (!value->is_string()) fail(key, "is not a text");
  return std::string(value->get_string());
}

std::optional<JsonReader> JsonReader::child(std::string_view key) const {
  boost::json::value const* const value = find(key);
  if (value == nullptr) return {};
  if (!value->is_object()) fail(key, "is not an object");
  return JsonReader(value->get_object(), windlass::text(source_, ": ", key));
}

std::vector<double> JsonReader::numbers(std::string_view key) const {
  return elements<double>(*this, key, [&](boost::json::value const& v) {
    if (!v.is_number()) fail(key, "has an element that is not a number");
    return v.to_number<double>();
  });
}

std::vector<std::int64_t> JsonReader::integers(std::string_view key) const {
  boost::json::value const* const value = find(key);
  if (value != nullptr && value->is_number()) return {*integer(key)};
  return elements<std::int64_t>(*this, key, [&](boost::json::value const& v) {
    std::optional<std::int64_t> const number = as_integer(v);
    if (!number) fail(key, "has an element that is not an integer");
    return *number;
  });
}

std::vector<std::string> JsonReader::texts(std::string_view key) const {
  return elements<std::string>(*this, key, [&](boost::json::value const& v) {
    if (!v.is_string()) fail(key, "has an element that is not a text");
    return std::string(v.get_string());
  });
}

int JsonReader::size(std::string_view key, int limit) const {
  std::optional<std::int64_t> const value = integer(key);
  if (!value) fail(key, "is missing");
  if (*value < 1 || *value > limit) fail(key, windlass::text("is ", *value, ", not between 1 and ", limit));
  return int(*value);
}

}  // namespace windlass
