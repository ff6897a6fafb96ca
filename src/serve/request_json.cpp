#include "src/serve/request_json.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>
#include <string>
#include <unordered_set>
#include <vector>

#include "src/core/hash.hpp"
#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

/// Sees the keys of each open object and stops at the first that comes twice.
struct DuplicateKeyFinder {
  static constexpr std::size_t max_object_size = std::size_t(-1), max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1), max_string_size = std::size_t(-1);
  using Code = json::error_code;

  std::vector<std::unordered_set<Hash128>> open;
  std::string key, duplicate;

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) {
    open.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, Code&) {
    open.pop_back();
    return true;
  }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t, Code&) { return true; }
  bool on_key_part(json::string_view part, std::size_t, Code&) {
    key.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, Code& code) {
    key.append(part.data(), part.size());
    if (open.back().insert(hash_text(key)).second) {
      key.clear();
      return true;
    }
    duplicate = key;
    code = json::error::syntax;
    return false;
  }
  bool on_string_part(json::string_view, std::size_t, Code&) { return true; }
  bool on_string(json::string_view, std::size_t, Code&) { return true; }
  bool on_number_part(json::string_view, Code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, Code&) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, Code&) { return true; }
  bool on_double(double, json::string_view, Code&) { return true; }
  bool on_bool(bool, Code&) { return true; }
  bool on_null(Code&) { return true; }
  bool on_comment_part(json::string_view, Code&) { return true; }
  bool on_comment(json::string_view, Code&) { return true; }
};

json::parse_options strict_options() {
  json::parse_options options;
  options.max_depth = max_json_depth;
  return options;
}

[[noreturn]] void refuse(std::string problem) {
  throw ApiError({.message = std::move(problem), .param = "", .code = "invalid_json"});
}

void refuse_duplicate_keys(std::string_view text_of_object) {
  json::basic_parser<DuplicateKeyFinder> parser(strict_options());
  json::error_code failed;
  parser.write_some(false, text_of_object.data(), text_of_object.size(), failed);
  if (!parser.handler().duplicate.empty())
    refuse(text("the key '", parser.handler().duplicate, "' comes twice in one object; keep one of them"));
}

}  // namespace

json::object parse_strict_object(std::string_view text_of_object) {
  json::error_code failed;
  json::value parsed = json::parse(text_of_object, failed, {}, strict_options());
  if (failed == json::error::too_deep)
    refuse(text("the JSON is nested more than ", max_json_depth, " levels deep; flatten it"));
  if (failed) refuse(text("not valid JSON in UTF-8 (", failed.message(), ")"));
  if (!parsed.is_object())
    refuse("not a JSON object; a line is {\"custom_id\": …, \"method\": …, \"url\": …, \"body\": …}");
  refuse_duplicate_keys(text_of_object);
  return std::move(parsed.get_object());
}

}  // namespace windlass
