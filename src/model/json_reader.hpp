/// Reading typed values from the JSON objects of a model folder.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace windlass {

/// Throws InputError naming `source` where `text` is not JSON.
boost::json::value parse_json(std::string_view text, std::string const& source);
/// The same, and the value must be an object.
boost::json::object parse_json_object(std::string_view text, std::string const& source);

/// A view of an object whose keys may be absent; null counts as absent. A value of another type is an InputError naming
/// source and key.
class JsonReader {
 public:
  JsonReader(boost::json::object const& object, std::string source) : object_(&object), source_(std::move(source)) {}

  std::string const& source() const { return source_; }
  boost::json::object const& object() const { return *object_; }

  bool has(std::string_view key) const { return find(key) != nullptr; }
  boost::json::value const* find(std::string_view key) const;  ///< null if absent or null
  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;
  std::optional<JsonReader> child(std::string_view key) const;
  std::vector<double> numbers(std::string_view key) const;         ///< empty if absent
  std::vector<std::int64_t> integers(std::string_view key) const;  ///< one integer is a list of one; empty if absent
  std::vector<std::string> texts(std::string_view key) const;

  /// Throws InputError where absent or not in 1 .. limit.
  int size(std::string_view key, int limit = 1 << 30) const;
  /// Throws InputError: "SOURCE: KEY REASON".
  [[noreturn]] void fail(std::string_view key, std::string_view reason) const;

 private:
  boost::json::object const* object_;
  std::string source_;
};

}  // namespace windlass
