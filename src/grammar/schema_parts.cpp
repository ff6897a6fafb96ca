#include "src/grammar/schema_parts.hpp"

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass::grammar {
namespace {

namespace json = boost::json;
using Words = std::initializer_list<std::string_view>;

Words const annotations = {"title", "description", "default",      "examples", "$schema",
                           "$id",   "$comment",    "deprecated",   "readOnly", "writeOnly",
                           "$defs", "definitions", "discriminator"};
Words const object_words = {"properties", "required", "additionalProperties"};
Words const array_words = {"items", "prefixItems", "minItems", "maxItems"};
Words const string_words = {"minLength", "maxLength", "pattern", "format"};
Words const number_words = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"};
Words const other_words = {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"};
Words const types = {"object", "array", "string", "number", "integer", "boolean", "null"};

bool contains(Words words, std::string_view word) { return std::find(words.begin(), words.end(), word) != words.end(); }

bool has_any(json::object const& schema, Words words) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return schema.contains(word); });
}

std::string unescaped_pointer(std::string_view part) {
  std::string out;
  for (std::size_t i = 0; i < part.size(); ++i) {
    bool const tilde = part[i] == '~' && i + 1 < part.size();
    out += tilde && part[i + 1] == '0' ? '~' : tilde && part[i + 1] == '1' ? '/' : part[i];
    if (tilde && (part[i + 1] == '0' || part[i + 1] == '1')) ++i;
  }
  return out;
}

json::value const* child(json::value const& value, std::string const& key) {
  if (auto const* object = value.if_object()) return object->if_contains(key);
  auto const* const list = value.if_array();
  std::size_t at = 0;
  auto const [end, failed] = std::from_chars(key.data(), key.data() + key.size(), at);
  bool const is_index = failed == std::errc{} && end == key.data() + key.size();
  return list && is_index && at < list->size() ? &(*list)[at] : nullptr;
}

bool has_type(json::value const& value, std::string_view type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_bool();
  if (type == "null") return value.is_null();
  if (type == "number") return value.is_number();
  auto const* const real = value.if_double();
  return value.is_int64() || value.is_uint64() || (real && std::trunc(*real) == *real);
}

}  // namespace

void check_keywords(json::object const& schema) {
  for (auto const& [key, value] : schema) {
    std::string_view const word(key.data(), key.size());
    bool known = false;
    for (Words const words : {annotations, object_words, array_words, string_words, number_words, other_words})
      known |= contains(words, word);
    if (!known)
      throw InputError(text("the JSON schema keyword '", word, "' is not supported; leave it out or say it otherwise"));
  }
}

json::object without_annotations(json::object const& schema) {
  json::object out;
  for (auto const& [key, value] : schema)
    if (!contains(annotations, std::string_view(key.data(), key.size()))) out[key] = value;
  return out;
}

json::value const& resolve(std::string_view reference, json::value const& root) {
  json::value const* at = &root;
  std::string_view rest = reference;
  if (!rest.starts_with('#')) at = nullptr;
  if (at) rest.remove_prefix(1);
  while (at && !rest.empty()) {
    if (rest[0] != '/') at = nullptr;
    rest.remove_prefix(1);
    std::size_t const end = std::min(rest.find('/'), rest.size());
    if (at) at = child(*at, unescaped_pointer(rest.substr(0, end)));
    rest.remove_prefix(end);
  }
  if (!at)
    throw InputError(text("'$ref' of a JSON schema is '", reference,
                          "'; it must name a part of the same schema, as "
                          "\"#/$defs/NAME\" does"));
  return *at;
}

json::value resolved(json::value const& schema, json::value const& root) {
  json::value out = schema;
  std::vector<json::value> beside;
  for (int depth = 0; out.is_object() && out.get_object().contains("$ref"); ++depth) {
    if (depth > 50) throw InputError("'$ref' of a JSON schema leads in a circle");
    json::object rest = without_annotations(out.get_object());
    json::value const reference = rest["$ref"];
    rest.erase("$ref");
    if (!reference.is_string()) throw InputError("'$ref' of a JSON schema must be a string");
    out = json::value(resolve(reference.get_string(), root));
    if (!rest.empty()) beside.push_back(std::move(rest));
  }
  for (json::value const& one : beside) out = merged(out, one, root);
  return out;
}

std::vector<std::string> types_of(json::object const& schema) {
  std::vector<std::string> found;
  auto const add = [&](json::value const& type) {
    if (!type.is_string() || !contains(types, std::string_view(type.get_string())))
      throw InputError(
          "'type' of a JSON schema must be object, array, string, number, integer, boolean, null, or a "
          "list of those");
    found.emplace_back(type.get_string());
  };
  json::value const* const type = schema.if_contains("type");
  if (type && type->is_array())
    std::for_each(type->get_array().begin(), type->get_array().end(), add);
  else if (type)
    add(*type);
  if (type) return found;
  if (has_any(schema, object_words)) found.push_back("object");
  if (has_any(schema, array_words)) found.push_back("array");
  if (has_any(schema, string_words)) found.push_back("string");
  if (has_any(schema, number_words)) found.push_back("number");
  return found;
}

json::array listed_values(json::object const& schema) {
  json::value const* const one = schema.if_contains("const");
  json::value const* const list = schema.if_contains("enum");
  for (auto const& [key, value] : without_annotations(schema))
    if (key != "const" && key != "enum" && key != "type")
      throw InputError(text("'", std::string_view(key),
                            "' beside 'enum' or 'const' in a JSON schema is not supported; "
                            "list the values that remain"));
  if (list && !list->is_array()) throw InputError("'enum' of a JSON schema must be a list");
  auto const wanted = types_of(schema);
  json::array out;
  auto const add = [&](json::value const& value) {
    bool const typed = !schema.contains("type") || std::any_of(wanted.begin(), wanted.end(),
                                                               [&](auto const& type) { return has_type(value, type); });
    if (typed && !(one && list && written(*one) != written(value))) out.push_back(value);
  };
  if (list)
    std::for_each(list->get_array().begin(), list->get_array().end(), add);
  else
    add(*one);
  if (out.empty()) throw InputError("'enum' or 'const' of a JSON schema leaves no value of its type");
  return out;
}

std::string written(json::value const& value) {
  std::string out;
  auto separate = [&, first = true]() mutable {
    if (!std::exchange(first, false)) out += ',';
  };
  if (auto const* object = value.if_object()) {
    out += '{';
    for (auto const& [key, member] : *object) {
      separate();
      out += json::serialize(json::string(key)) + ":" + written(member);
    }
    return out + '}';
  }
  if (auto const* list = value.if_array()) {
    out += '[';
    for (json::value const& element : *list) {
      separate();
      out += written(element);
    }
    return out + ']';
  }
  auto const* const real = value.if_double();
  if (!real) return json::serialize(value);
  std::array<char, 32> digits{};
  auto const end = std::to_chars(digits.begin(), digits.end(), *real).ptr;
  return {digits.begin(), end};
}

}  // namespace windlass::grammar
