#include "src/model/tokenizer/json_node.hpp"

#include <cerrno>
#include <fstream>
#include <iterator>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/tokenizer/vocabulary.hpp"

namespace windlass {

namespace json = boost::json;

void JsonNode::refuse(std::string_view problem) const { throw InputError(windlass::text(path_, " ", problem)); }

JsonNode JsonNode::operator[](std::string_view key) const {
  std::string path = path_ + (path_.back() == ':' ? " " : ".") + std::string(key);
  if (!present()) return JsonNode(nullptr, std::move(path));
  auto const* const object = value_->if_object();
  if (!object) refuse("is not an object");
  return JsonNode(object->if_contains(key), std::move(path));
}

std::vector<JsonNode> JsonNode::items() const {
  std::vector<JsonNode> out;
  if (!present()) return out;
  json::array const& values = array();
  for (std::size_t i = 0; i < values.size(); ++i)
    out.push_back(JsonNode(&values[i], windlass::text(path_, '[', i, ']')));
  return out;
}

JsonNode JsonNode::item(std::size_t i) const {
  if (i >= array().size()) refuse(windlass::text("has fewer than ", i + 1, " items"));
  return JsonNode(&array()[i], windlass::text(path_, '[', i, ']'));
}

std::string_view JsonNode::text() const {
  if (!is_text()) refuse("is not a string");
  return value_->get_string();
}

std::uint32_t JsonNode::token() const {
  constexpr std::int64_t max_token = max_token_number;
  if (!value_ || !value_->is_int64() || value_->get_int64() < 0 || value_->get_int64() > max_token)
    refuse("is not a token id (an integer from 0 to 4194303)");
  return std::uint32_t(value_->get_int64());
}

double JsonNode::real() const {
  if (!value_ || !value_->is_number()) refuse("is not a number");
  return value_->to_number<double>();
}

json::object const& JsonNode::object() const {
  if (!value_ || !value_->is_object()) refuse("is not an object");
  return value_->get_object();
}

json::array const& JsonNode::array() const {
  if (!is_array()) refuse("is not an array");
  return value_->get_array();
}

std::string JsonNode::text_or(std::string_view otherwise) const { return std::string(present() ? text() : otherwise); }

bool JsonNode::flag_or(bool otherwise) const {
  if (!present()) return otherwise;
  if (!value_->is_bool()) refuse("is not true or false");
  return value_->get_bool();
}

json::value read_json_file(std::string const& path, json::storage_ptr storage) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FileError(path, "open", errno);
  std::string const content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  json::error_code error;
  json::value document = json::parse(content, error, std::move(storage));
  if (error) throw InputError(text(path, " is not JSON: ", error.message(), "; the file is damaged"));
  return document;
}

}  // namespace windlass
