/// Reading a JSON file field by field, with messages that name file and field.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace windlass {

/// One value of a JSON file, or the place where one is missing. The document outlives it.
class JsonNode {
 public:
  JsonNode(boost::json::value const& root, std::string file) : value_(&root), path_(std::move(file) + ":") {}

  bool present() const { return value_ && !value_->is_null(); }
  /// An object's field; also of a missing or null object: then it is missing.
  JsonNode operator[](std::string_view key) const;
  /// An array's items; none if it is missing.
  std::vector<JsonNode> items() const;
  JsonNode item(std::size_t i) const;  ///< throws InputError where the array is too short

  /// These throw InputError where the value has another type, or is missing and has no default.
  std::string_view text() const;
  std::uint32_t token() const;
  double real() const;
  boost::json::object const& object() const;
  boost::json::array const& array() const;
  std::string text_or(std::string_view otherwise) const;
  bool flag_or(bool otherwise) const;

  bool is_text() const { return value_ && value_->is_string(); }
  bool is_array() const { return value_ && value_->is_array(); }
  [[noreturn]] void refuse(std::string_view problem) const;  ///< InputError: "file: field problem"

 private:
  JsonNode(boost::json::value const* value, std::string path) : value_(value), path_(std::move(path)) {}
  boost::json::value const* value_;
  std::string path_;
};

/// Throws FileError where the file cannot be read, InputError where it is not JSON.
boost::json::value read_json_file(std::string const& path, boost::json::storage_ptr storage);

}  // namespace windlass
