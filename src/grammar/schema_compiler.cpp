#include "src/grammar/schema_compiler.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/grammar/json_formats.hpp"
#include "src/grammar/json_numbers.hpp"
#include "src/grammar/regex.hpp"
#include "src/grammar/schema_parts.hpp"

namespace windlass::grammar {
namespace {

namespace json = boost::json;

constexpr int max_depth = 200;
constexpr std::uint32_t max_multiple = 1000;

[[noreturn]] void refuse(std::string_view keyword, std::string_view expected) {
  throw InputError(text("'", keyword, "' of a JSON schema must be ", expected));
}

std::uint32_t count(json::object const& schema, char const* keyword, std::uint32_t fallback) {
  json::value const* const value = schema.if_contains(keyword);
  if (!value) return fallback;
  auto const* const whole = value->if_int64();
  auto const* const real = value->if_double();
  double const number = whole ? double(*whole) : real ? *real : -1;
  if (number < 0 || number > 1e9 || number != double(std::uint32_t(number))) refuse(keyword, "a count");
  return std::uint32_t(number);
}

/// Throws where no count lies between.
Times times(json::object const& schema, char const* least, char const* most) {
  Times const found{count(schema, least, 0), count(schema, most, unlimited)};
  if (found.least > found.most) throw InputError(text("'", least, "' of a JSON schema is above '", most, "'"));
  return found;
}

json::array list(json::object const& schema, char const* keyword) {
  json::value const* const value = schema.if_contains(keyword);
  if (value && !value->is_array()) refuse(keyword, "a list");
  return value ? value->get_array() : json::array();
}

std::optional<std::string> string_of(json::object const& schema, char const* keyword) {
  json::value const* const value = schema.if_contains(keyword);
  if (!value) return std::nullopt;
  if (!value->is_string()) refuse(keyword, "a string");
  return std::string(value->get_string());
}

bool is_false(json::value const& schema) { return schema.is_bool() && !schema.get_bool(); }

/// Whether `a` is the narrower one, as a bound from below where `sign` is 1, from above where it is -1.
bool narrower(json::value const& a, json::value const& b, int sign) {
  return (a.to_number<double>() - b.to_number<double>()) * sign > 0;
}

std::optional<DecimalBound> bound(json::object const& schema, char const* inclusive, char const* exclusive) {
  json::value const *in = schema.if_contains(inclusive), *out = schema.if_contains(exclusive);
  std::optional<DecimalBound> with, without;
  if (in) with = DecimalBound{.value = decimal_of(*in, inclusive), .is = BoundIs::allowed};
  if (out) without = DecimalBound{.value = decimal_of(*out, exclusive), .is = BoundIs::forbidden};
  if (!with || !without) return with ? with : without;
  bool const from_below = std::string_view(inclusive) == "minimum";
  return narrower(*in, *out, from_below ? 1 : -1) ? with : without;
}

/// Characters that keys are made of, where they must not be one of `declared`: none is escaped, so that each key has
/// one form.
CharacterAutomaton other_keys(json::object const& declared) {
  CharacterSet const usable = complement({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
  CharacterAutomaton keys;
  keys.first = keys.add_node();
  keys.last = keys.add_node();
  std::uint32_t const free = keys.add_node();
  keys.nodes[free] = {{.on = usable, .to = free}, {.on = {}, .to = keys.last}};
  struct Prefix {
    std::uint32_t node = 0;
    bool is_name = false;
    std::vector<std::pair<char32_t, std::size_t>> next;
  };
  std::vector<Prefix> prefixes{{keys.first, false, {}}};
  for (auto const& [name, schema] : declared) {
    std::size_t at = 0;
    for (char32_t const c : characters_of(name)) {
      auto& next = prefixes[at].next;
      auto const known = std::find_if(next.begin(), next.end(), [c](auto const& step) { return step.first == c; });
      std::size_t const to = known == next.end() ? prefixes.size() : known->second;
      if (known == next.end()) {
        next.emplace_back(c, to);
        prefixes.push_back({keys.add_node(), false, {}});
      }
      at = to;
    }
    prefixes[at].is_name = true;
  }
  for (Prefix const& prefix : prefixes) {
    auto& steps = keys.nodes[prefix.node];
    CharacterSet taken;
    for (auto const& [c, to] : prefix.next) {
      taken.push_back({c, c});
      if (CharacterSet const on = intersection({{c, c}}, usable); !on.empty())
        steps.push_back({.on = on, .to = prefixes[to].node});
    }
    steps.push_back({.on = intersection(usable, complement(taken)), .to = free});
    if (!prefix.is_name) steps.push_back({.on = {}, .to = keys.last});
  }
  return keys;
}

}  // namespace

Rule SchemaCompiler::rule_of(json::value const& schema) {
  auto const [at, is_new] = rules_.try_emplace(written(schema), Rule{});
  if (!is_new) return at->second;
  if (depth_ > max_depth) throw InputError("the JSON schema is too deep, or joining its parts never ends");
  Rule const made = at->second = builder_->rule();
  ++depth_;
  fill(builder_->ends(made), schema);
  --depth_;
  return made;
}

void SchemaCompiler::fill(Grammar::Ends ends, json::value const& schema) {
  if (is_false(schema)) return;
  if (schema.is_bool()) return builder_->add_call(ends.first, ends.last, json_.value());
  if (!schema.is_object()) throw InputError("a JSON schema must be an object, true or false");
  check_keywords(schema.get_object());
  json::object const plain = without_annotations(schema.get_object());
  if (plain.contains("$ref")) return builder_->add_call(ends.first, ends.last, rule_of(resolved(plain, *root_)));
  if (plain.contains("allOf")) return fill_merged(ends, plain);
  if (plain.contains("anyOf")) return fill_alternatives(ends, plain, "anyOf");
  if (plain.contains("oneOf")) return fill_alternatives(ends, plain, "oneOf");
  if (plain.contains("enum") || plain.contains("const")) return fill_listed(ends, plain);
  auto const types = types_of(plain);
  for (std::string const& type : types) fill_type(ends, plain, type);
  if (types.empty()) builder_->add_call(ends.first, ends.last, json_.value());
}

void SchemaCompiler::fill_merged(Grammar::Ends ends, json::object schema) {
  json::array const parts = list(schema, "allOf");
  schema.erase("allOf");
  json::value all = std::move(schema);
  for (json::value const& part : parts) {
    if (part.is_object()) check_keywords(part.get_object());
    all = merged(all, part, *root_);
  }
  builder_->add_call(ends.first, ends.last, rule_of(all));
}

void SchemaCompiler::fill_alternatives(Grammar::Ends ends, json::object schema, char const* keyword) {
  json::array const alternatives = list(schema, keyword);
  schema.erase(keyword);
  if (alternatives.empty()) refuse(keyword, "a list of at least one schema");
  bool const only_one = std::string_view(keyword) == "oneOf";
  for (std::size_t i = 0; i < alternatives.size(); ++i) {
    for (std::size_t j = 0; only_one && j < i; ++j)
      if (!surely_disjoint(alternatives[i], alternatives[j], *root_))
        throw InputError(text("a value may satisfy several alternatives of 'oneOf' in a JSON schema (", j, " and ", i,
                              "); use 'anyOf', or tell them apart by type or by a required property with 'const'"));
    json::value const one = schema.empty() ? alternatives[i] : merged(schema, alternatives[i], *root_);
    builder_->add_call(ends.first, ends.last, rule_of(one));
  }
}

void SchemaCompiler::fill_listed(Grammar::Ends ends, json::object const& schema) {
  std::vector<std::string> texts;
  for (json::value const& value : listed_values(schema)) texts.push_back(written(value));
  builder_->add_choices(ends, std::move(texts));
}

void SchemaCompiler::fill_type(Grammar::Ends ends, json::object const& schema, std::string_view type) {
  if (type == "object") return fill_object(ends, schema);
  if (type == "array") return fill_array(ends, schema);
  if (type == "string") return fill_string(ends, schema);
  if (type == "boolean") return builder_->add_choices(ends, {"true", "false"});
  if (type == "null") return builder_->add_text(ends.first, ends.last, "null");
  fill_number(ends, schema, type);
}

Rule SchemaCompiler::member(std::string_view name, json::value const& schema) {
  Rule const made = builder_->rule();
  auto const [first, last] = builder_->ends(made);
  Node const behind_key = builder_->node();
  builder_->add_text(first, behind_key, written(json::value(name)));
  json_.add_member_value(behind_key, last, rule_of(schema));
  return made;
}

Rule SchemaCompiler::further_member(json::object const& declared, json::value const& schema) {
  Rule const made = builder_->rule();
  auto const [first, last] = builder_->ends(made);
  Node const open = builder_->node(), close = builder_->node(), behind_key = builder_->node();
  builder_->add_text(first, open, "\"");
  add_automaton(*builder_, {open, close}, other_keys(declared), Writing::plain);
  builder_->add_text(close, behind_key, "\"");
  json_.add_member_value(behind_key, last, rule_of(schema));
  return made;
}

/// Declared properties in their order, then others where the schema wants them.
void SchemaCompiler::fill_object(Grammar::Ends ends, json::object const& schema) {
  json::value const* const declared_value = schema.if_contains("properties");
  if (declared_value && !declared_value->is_object()) refuse("properties", "an object");
  json::object declared = declared_value ? declared_value->get_object() : json::object();
  json::value const* const more = schema.if_contains("additionalProperties");
  json::array const required = list(schema, "required");
  for (json::value const& name : required) {
    if (!name.is_string()) refuse("required", "a list of strings");
    if (!declared.contains(name.get_string())) declared[name.get_string()] = more ? *more : json::value(true);
  }
  bool const open = more ? !is_false(*more) : declared.empty();
  Node const brace = builder_->node();
  Node none = builder_->node(), some = builder_->node();  // no member yet; at least one
  builder_->add_text(ends.first, brace, "{");
  json_.add_space(brace, none);
  auto const add = [&](Rule rule, Node from, Node to) {
    Node const behind_comma = builder_->node();
    builder_->add_call(none, to, rule);
    json_.add_comma(from, behind_comma);
    builder_->add_call(behind_comma, to, rule);
  };
  for (auto const& [name, property] : declared) {
    Node const next_none = builder_->node(), next_some = builder_->node();
    if (!is_false(property)) add(member(name, property), some, next_some);
    if (std::find(required.begin(), required.end(), json::value(name)) == required.end()) {
      builder_->add_empty(none, next_none);
      builder_->add_empty(some, next_some);
    }
    none = next_none;
    some = next_some;
  }
  if (open) add(further_member(declared, more ? *more : json::value(true)), some, some);
  Node const close = builder_->node();
  builder_->add_empty(none, close);
  json_.add_space(some, close);
  builder_->add_text(close, ends.last, "}");
}

void SchemaCompiler::fill_array(Grammar::Ends ends, json::object const& schema) {
  Times const length = times(schema, "minItems", "maxItems");
  json::array const first_items = list(schema, "prefixItems");
  json::value const* const items = schema.if_contains("items");
  if (items && items->is_array()) refuse("items", "one schema (lists go into 'prefixItems')");
  bool const open = items ? !is_false(*items) : first_items.empty() || length.least > first_items.size();
  Node const bracket = builder_->node(), close = builder_->node();
  Node at = builder_->node();
  builder_->add_text(ends.first, bracket, "[");
  json_.add_space(bracket, at);
  if (length.least == 0) builder_->add_empty(at, close);
  std::uint32_t done = 0;
  auto const add = [&](json::value const& item) {
    Node const begin = done == 0 ? at : builder_->node();
    if (done > 0) json_.add_comma(at, begin);
    at = builder_->node();
    builder_->add_call(begin, at, rule_of(item));
    if (++done >= length.least) json_.add_space(at, close);
  };
  json::value const rest = items ? *items : json::value(true);
  for (json::value const& item : first_items)
    if (done < length.most) add(item);
  if (open && done == 0 && length.most > 0) add(rest);
  if (open && done < length.most) {
    Rule const further = builder_->rule();
    auto const [first, last] = builder_->ends(further);
    Node const behind_comma = builder_->node(), end = builder_->node();
    json_.add_comma(first, behind_comma);
    builder_->add_call(behind_comma, last, rule_of(rest));
    Times const more{length.least > done ? length.least - done : 0,
                     length.most == unlimited ? unlimited : length.most - done};
    builder_->add_repeat(at, {.kind = Edge::Kind::call, .rule = further, .times = more, .to = end});
    json_.add_space(end, close);
  }
  builder_->add_text(close, ends.last, "]");
}

void SchemaCompiler::fill_string(Grammar::Ends ends, json::object const& schema) {
  Times const length = times(schema, "minLength", "maxLength");
  auto const pattern = string_of(schema, "pattern"), format = string_of(schema, "format");
  if (pattern && format)
    throw InputError("'pattern' and 'format' together in a JSON schema are not supported; keep one");
  Node const open = builder_->node(), close = builder_->node();
  builder_->add_text(ends.first, open, "\"");
  builder_->add_text(close, ends.last, "\"");
  if (!pattern && !format)
    return builder_->add_repeat(open,
                                {.kind = Edge::Kind::call, .rule = json_.character(), .times = length, .to = close});
  auto automaton =
      pattern ? regex_automaton(*pattern, Match::part) : regex_automaton(format_pattern(*format), Match::whole);
  bool const any_length = length.least == 0 && length.most == unlimited;
  if (!any_length) automaton = with_length(automaton, length);
  add_automaton(*builder_, {open, close}, automaton, Writing::json);
}

void SchemaCompiler::fill_number(Grammar::Ends ends, json::object const& schema, std::string_view type) {
  NumberRule rule{.least = bound(schema, "minimum", "exclusiveMinimum"),
                  .most = bound(schema, "maximum", "exclusiveMaximum"),
                  .multiple_of = 1,
                  .integers = type == "integer"};
  if (schema.contains("multipleOf")) {
    rule.multiple_of = count(schema, "multipleOf", 1);
    if (rule.multiple_of == 0 || rule.multiple_of > max_multiple)
      refuse("multipleOf", text("an integer from 1 to ", max_multiple));
    rule.integers = true;
  }
  if (rule.least || rule.most || schema.contains("multipleOf")) return add_numbers(*builder_, ends, rule);
  builder_->add_call(ends.first, ends.last, rule.integers ? json_.integer() : json_.number());
}

}  // namespace windlass::grammar
