#include <algorithm>
#include <set>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/grammar/schema_parts.hpp"

namespace windlass::grammar {
namespace {

namespace json = boost::json;

[[noreturn]] void refuse(std::string_view keyword) {
  throw InputError(text("two schemas that must both hold both have '", keyword,
                        "', which cannot be joined; write the joined one yourself"));
}

double as_number(json::value const& value, std::string_view keyword) {
  if (!value.is_number()) throw InputError(text("'", keyword, "' of a JSON schema must be a number"));
  return value.to_number<double>();
}

/// Whether objects of this schema have no properties but the listed ones.
bool closed(json::object const& schema) {
  json::value const* const more = schema.if_contains("additionalProperties");
  return more && !(more->is_bool() && more->get_bool());
}

json::object const* properties(json::object const& schema) {
  json::value const* const found = schema.if_contains("properties");
  return found ? found->if_object() : nullptr;
}

bool declares(json::object const& schema, std::string_view name) {
  auto const* const declared = properties(schema);
  return declared && declared->contains(name);
}

void check_closed(json::object const& closed_one, json::object const& other) {
  if (!closed(closed_one) || !properties(other)) return;
  for (auto const& [name, schema] : *properties(other))
    if (!declares(closed_one, name)) refuse("additionalProperties");
}

json::value both(json::value const& a, json::value const& b) { return json::object{{"allOf", json::array{a, b}}}; }

json::value joined_types(json::object const& a, json::object const& b) {
  json::array out;
  auto const as = types_of(a), bs = types_of(b);
  for (std::string const& x : as)
    for (std::string const& y : bs) {
      bool const whole = (x == "integer" && y == "number") || (x == "number" && y == "integer");
      if (x == y || whole) out.push_back(json::value(whole ? "integer" : x));
    }
  return out;
}

json::value joined_properties(json::object a, json::object const& b) {
  for (auto const& [name, schema] : b) {
    json::value* const mine = a.if_contains(name);
    if (!mine)
      a[name] = schema;
    else if (*mine != schema)
      *mine = both(*mine, schema);
  }
  return a;
}

json::value joined_lists(json::array a, json::array const& b) {
  for (json::value const& element : b)
    if (std::find(a.begin(), a.end(), element) == a.end()) a.push_back(element);
  return a;
}

json::value common(json::array const& a, json::array const& b) {
  json::array out;
  for (json::value const& element : a)
    if (std::find(b.begin(), b.end(), element) != b.end()) out.push_back(element);
  return out;
}

/// One keyword that both have, with different values.
json::value joined(std::string_view keyword, json::object const& a, json::object const& b) {
  json::value const &x = a.at(keyword), &y = b.at(keyword);
  auto const is = [&](std::initializer_list<std::string_view> words) {
    return std::find(words.begin(), words.end(), keyword) != words.end();
  };
  if (is({"minimum", "exclusiveMinimum", "minLength", "minItems"}))
    return as_number(x, keyword) > as_number(y, keyword) ? x : y;
  if (is({"maximum", "exclusiveMaximum", "maxLength", "maxItems"}))
    return as_number(x, keyword) < as_number(y, keyword) ? x : y;
  if (keyword == "type") return joined_types(a, b);
  if (keyword == "properties" && x.is_object() && y.is_object())
    return joined_properties(x.get_object(), y.get_object());
  if (keyword == "required" && x.is_array() && y.is_array()) return joined_lists(x.get_array(), y.get_array());
  if (keyword == "enum" && x.is_array() && y.is_array()) return common(x.get_array(), y.get_array());
  if (keyword == "allOf" && x.is_array() && y.is_array()) return joined_lists(x.get_array(), y.get_array());
  if (keyword == "items") return both(x, y);
  refuse(keyword);
}

/// Names that both schemas require and for which they list values, none of them the same.
bool told_apart_by_a_property(json::object const& a, json::object const& b, json::value const& root);

bool requires_name(json::object const& schema, std::string_view name) {
  json::value const* const required = schema.if_contains("required");
  auto const* const list = required ? required->if_array() : nullptr;
  return list && std::find(list->begin(), list->end(), json::value(name)) != list->end();
}

bool lists_values(json::object const& schema) { return schema.contains("enum") || schema.contains("const"); }

bool lists_are_disjoint(json::object const& a, json::object const& b) {
  std::set<std::string> texts;
  for (json::value const& value : listed_values(a)) texts.insert(written(value));
  auto const others = listed_values(b);
  return std::none_of(others.begin(), others.end(), [&](auto const& value) { return texts.contains(written(value)); });
}

bool told_apart_by_a_property(json::object const& a, json::object const& b, json::value const& root) {
  if (!properties(a) || !properties(b)) return false;
  for (auto const& [name, schema] : *properties(a)) {
    if (!declares(b, name) || !requires_name(a, name) || !requires_name(b, name)) continue;
    if (surely_disjoint(schema, properties(b)->at(name), root)) return true;
  }
  return false;
}

/// Whether what is generated for `made` lacks something that `other` requires.
bool lacks_required(json::object const& made, json::object const& other) {
  json::value const* const required = other.if_contains("required");
  json::value const* const more = made.if_contains("additionalProperties");
  bool const open = more && !(more->is_bool() && !more->get_bool());
  if (!required || !required->is_array() || open || !properties(made)) return false;
  return std::any_of(required->get_array().begin(), required->get_array().end(), [&](json::value const& name) {
    return name.is_string() && !declares(made, name.get_string()) && !requires_name(made, name.get_string());
  });
}

bool types_overlap(json::object const& a, json::object const& b) {
  auto const as = types_of(a), bs = types_of(b);
  if (as.empty() || bs.empty()) return true;
  for (std::string const& x : as)
    for (std::string const& y : bs)
      if (x == y || (x == "integer" && y == "number") || (x == "number" && y == "integer")) return true;
  return false;
}

}  // namespace

json::value merged(json::value const& a, json::value const& b, json::value const& root) {
  if (a.is_bool()) return a.get_bool() ? b : a;
  if (b.is_bool()) return b.get_bool() ? a : b;
  if (!a.is_object() || !b.is_object()) throw InputError("a JSON schema must be an object, true or false");
  json::object out = without_annotations(a.get_object());
  json::object const other = without_annotations(b.get_object());
  for (json::object const* one : {static_cast<json::object const*>(&out), &other})
    if (one->contains("$ref") && out != other) return merged(resolved(out, root), resolved(other, root), root);
  check_closed(out, other);
  check_closed(other, out);
  for (auto const& [key, value] : other) {
    json::value const* const mine = out.if_contains(key);
    if (!mine)
      out[key] = value;
    else if (*mine != value)
      out[key] = joined(key, out, other);
  }
  return out;
}

bool surely_disjoint(json::value const& first, json::value const& second, json::value const& root) {
  json::value const a = resolved(first, root), b = resolved(second, root);
  if (!a.is_object() || !b.is_object()) return false;
  json::object const &x = a.get_object(), &y = b.get_object();
  if (lists_values(x) && lists_values(y)) return lists_are_disjoint(x, y);
  if (lists_values(x) || lists_values(y)) {
    auto const values = listed_values(lists_values(x) ? x : y);
    return std::all_of(values.begin(), values.end(), [&](json::value const& value) {
      json::object const type{{"type", value.is_object()   ? "object"
                                       : value.is_array()  ? "array"
                                       : value.is_string() ? "string"
                                       : value.is_bool()   ? "boolean"
                                       : value.is_null()   ? "null"
                                                           : "number"}};
      return !types_overlap(type, lists_values(x) ? y : x);
    });
  }
  if (!types_overlap(x, y)) return true;
  auto const is_object = [](json::object const& schema) {
    return types_of(schema) == std::vector<std::string>{"object"};
  };
  if (!is_object(x) || !is_object(y)) return false;
  return told_apart_by_a_property(x, y, root) || (lacks_required(x, y) && lacks_required(y, x));
}

}  // namespace windlass::grammar
