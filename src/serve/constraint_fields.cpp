#include "src/serve/constraint_fields.hpp"

#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"

namespace windlass {
namespace {

namespace json = boost::json;
using Kind = Constraint::Kind;

/// A constraint and the field it comes from.
struct Wanted {
  Constraint constraint;
  std::string field;
};

[[noreturn]] void refuse(std::string field, std::string message, char const* code = "unsupported_value") {
  throw ApiError({.message = std::move(message), .param = std::move(field), .code = code});
}

/// A schema as an object, or as a text that holds one.
std::string schema_text(json::value const& schema, std::string const& field) {
  if (schema.is_object() || schema.is_bool()) return json::serialize(schema);
  if (!schema.is_string()) refuse(field, text("'", field, "' must be a JSON schema, an object"), "invalid_value");
  return std::string(schema.get_string());
}

std::optional<Wanted> of_response_format(Fields const& body) {
  json::object const* const format = body.object("response_format");
  if (!format) return std::nullopt;
  Fields const fields(*format);
  std::string const type = fields.string("type").value_or("");
  json::object const* const inner = fields.object("json_schema");
  if (type == "text") return std::nullopt;
  if (type == "json_object") return Wanted{{.kind = Kind::json_object, .source = {}}, "response_format"};
  if (type != "json_schema")
    refuse("response_format",
           text("'response_format' of type '", type, "' is not supported; use 'text', 'json_object' or 'json_schema'"));
  json::value const* const schema = inner ? Fields(*inner).find("schema") : nullptr;
  if (!schema)
    refuse("response_format", "'response_format' of type 'json_schema' needs 'json_schema': {\"schema\": {…}}",
           "invalid_value");
  return Wanted{{.kind = Kind::json_schema, .source = schema_text(*schema, "response_format")}, "response_format"};
}

/// One of json, regex, choice and json_object, under the names that `fields` have.
std::optional<Wanted> of_parts(Fields const& fields, std::array<char const*, 3> const& names,
                               std::string const& field) {
  auto const [schema, regex, choice] = names;
  std::optional<Wanted> found;
  auto const take = [&](Constraint constraint, std::string from) {
    if (found) refuse(from, text("'", from, "' and '", found->field, "' exclude each other; use one of them"));
    found = Wanted{std::move(constraint), std::move(from)};
  };
  auto const name = [&](char const* part) { return field.empty() ? std::string(part) : field; };
  if (json::value const* const value = fields.find(schema))
    take({.kind = Kind::json_schema, .source = schema_text(*value, name(schema))}, name(schema));
  if (auto const value = fields.string(regex)) take({.kind = Kind::regex, .source = *value}, name(regex));
  if (json::array const* const value = fields.array(choice))
    take({.kind = Kind::choice, .source = json::serialize(*value)}, name(choice));
  return found;
}

std::optional<Wanted> of_structured_outputs(Fields const& body) {
  json::object const* const given = body.object("structured_outputs");
  if (!given) return std::nullopt;
  Fields const fields(*given);
  for (char const* const unknown : {"grammar", "structural_tag", "whitespace_pattern"})
    if (fields.find(unknown))
      refuse("structured_outputs", text("'structured_outputs' with '", unknown,
                                        "' is not supported; use 'json', 'regex', 'choice' or 'json_object'"));
  auto found = of_parts(fields, {"json", "regex", "choice"}, "structured_outputs");
  if (fields.boolean("json_object").value_or(false)) {
    if (found) refuse("structured_outputs", "'structured_outputs' has several forms; use one of them");
    found = Wanted{{.kind = Kind::json_object, .source = {}}, "structured_outputs"};
  }
  if (!found)
    refuse("structured_outputs", "'structured_outputs' needs one of 'json', 'regex', 'choice' and 'json_object'",
           "invalid_value");
  if (fields.boolean("disable_any_whitespace").value_or(false)) found->constraint.spacing = JsonSpacing::none;
  return found;
}

}  // namespace

Constraint read_constraint(Fields const& body) {
  for (char const* const unknown : {"guided_grammar", "guided_whitespace_pattern"})
    if (body.find(unknown)) refuse(unknown, text("'", unknown, "' is not supported; use 'structured_outputs'"));
  std::optional<Wanted> found;
  for (auto one : {of_response_format(body), of_structured_outputs(body),
                   of_parts(body, {"guided_json", "guided_regex", "guided_choice"}, "")}) {
    if (one && found)
      refuse(one->field, text("'", one->field, "' and '", found->field, "' exclude each other; use one of them"));
    if (one) found = std::move(one);
  }
  if (!found) return {};
  try {
    found->constraint.compiled = std::make_shared<grammar::Grammar const>(compile(found->constraint));
  } catch (InputError const& error) {
    refuse(found->field, text("'", found->field, "': ", error.what()), "invalid_value");
  }
  return std::move(found->constraint);
}

}  // namespace windlass
