/// Methods of strings and dictionaries. Those that would change a value are not there: templates run sandboxed.
#include <algorithm>
#include <array>

#include "src/core/text.hpp"
#include "src/model/jinja/print.hpp"
#include "src/model/jinja/runtime.hpp"
#include "src/model/jinja/strings.hpp"
#include "src/model/tokenizer/normalizer.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace windlass::jinja {

namespace {
using TextMethod = Value (*)(Runtime&, std::string const&, Arguments const&);
using DictMethod = Value (*)(Runtime&, Dict const&, Arguments const&);

Value texts(Runtime& runtime, std::vector<std::string_view> const& parts) {
  List out;
  for (std::string_view const part : parts) out.items.push_back(part);
  runtime.spend(out.items.size() + 1);
  return out;
}

std::optional<std::string_view> optional_text(Bound const& bound, std::size_t i) {
  if (!bound.find(i) || bound.find(i)->is_none()) return std::nullopt;
  return bound.text(i);
}

template <Side side>
Value strip_method(Runtime& runtime, std::string const& text, Arguments const& arguments) {
  Bound const bound("strip", arguments, {"chars"});
  return runtime.text(std::string(strip(text, side, optional_text(bound, 0))));
}

Value split_method(Runtime& runtime, std::string const& text, Arguments const& arguments) {
  Bound const bound("split", arguments, {"sep", "maxsplit"});
  return texts(runtime, split(text, optional_text(bound, 0), bound.integer_or(1, -1)));
}

Value rsplit_method(Runtime& runtime, std::string const& text, Arguments const& arguments) {
  Bound const bound("rsplit", arguments, {"sep", "maxsplit"});
  auto const separator = optional_text(bound, 0);
  if (separator) return texts(runtime, split_from_right(text, *separator, bound.integer_or(1, -1)));
  if (bound.find(1)) throw Problem("rsplit with maxsplit and without a separator is not supported");
  return texts(runtime, split(text, std::nullopt, -1));
}

Value splitlines_method(Runtime& runtime, std::string const& text, Arguments const& arguments) {
  Bound const bound("splitlines", arguments, {});
  return texts(runtime, split_lines(text));
}

/// str.startswith and endswith take one text or a tuple of them.
template <class Matches>
Value match_affix(std::string_view method, Arguments const& arguments, Matches const& matches) {
  Bound const bound(method, arguments, {"prefix"});
  if (List const* many = bound.required(0).list()) {
    return std::any_of(many->items.begin(), many->items.end(), [&](Value const& one) {
      if (!one.text()) throw Problem(text(method, " wants texts"));
      return matches(*one.text());
    });
  }
  return matches(std::string(bound.text(0)));
}

Value startswith_method(Runtime&, std::string const& text, Arguments const& arguments) {
  return match_affix("startswith", arguments, [&](std::string const& affix) { return text.starts_with(affix); });
}

Value endswith_method(Runtime&, std::string const& text, Arguments const& arguments) {
  return match_affix("endswith", arguments, [&](std::string const& affix) { return text.ends_with(affix); });
}

Value replace_method(Runtime& runtime, std::string const& text, Arguments const& arguments) {
  Bound const bound("replace", arguments, {"old", "new", "count"});
  return runtime.text(replace(text, {bound.text(0), bound.text(1), bound.integer_or(2, -1)}, max_text_bytes));
}

Value join_method(Runtime& runtime, std::string const& text, Arguments const& arguments) {
  Bound const bound("join", arguments, {"iterable"});
  std::string out;
  std::vector<Value> const items = iterate(runtime, bound.required(0));
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i].text()) throw Problem(windlass::text("join wants texts, not '", type_name(items[i]), "'"));
    out.append(i > 0 ? text : "").append(*items[i].text());
    if (out.size() > max_text_bytes) throw Problem("join makes a text longer than 64 MiB");
  }
  return runtime.text(std::move(out));
}

enum class Direction : unsigned char { first, last };
template <Direction direction>
Value find_method(Runtime&, std::string const& text, Arguments const& arguments) {
  Bound const bound("find", arguments, {"sub"});
  std::size_t const at = direction == Direction::first ? text.find(bound.text(0)) : text.rfind(bound.text(0));
  if (at == std::string::npos) return -1;
  return std::int64_t(count_characters(std::string_view(text).substr(0, at)));
}

Value index_method(Runtime& runtime, std::string const& text, Arguments const& arguments) {
  Value found = find_method<Direction::first>(runtime, text, arguments);
  if (equal(found, -1)) throw Problem("substring not found");
  return found;
}

Value count_method(Runtime& runtime, std::string const& text, Arguments const& arguments) {
  Bound const bound("count", arguments, {"sub"});
  std::string_view const part = bound.text(0);
  if (part.empty()) return std::int64_t(count_characters(text)) + 1;
  runtime.spend(text.size() / 16 + 1);
  std::int64_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

template <std::string (*map)(std::string_view)>
Value map_method(Runtime& runtime, std::string const& text, Arguments const& arguments) {
  Bound const bound("a text's method", arguments, {});
  return runtime.text(map(text));
}

template <Side side>
Value remove_affix(Runtime& runtime, std::string const& text, Arguments const& arguments) {
  Bound const bound("removeprefix", arguments, {"affix"});
  std::string_view const affix = bound.text(0);
  bool const there = side == Side::left ? text.starts_with(affix) : text.ends_with(affix);
  if (!there) return text;
  return runtime.text(side == Side::left ? text.substr(affix.size()) : text.substr(0, text.size() - affix.size()));
}

/// The argument for one field; `next` counts those without a name or number.
Value format_field(std::string const& field, std::size_t& next, Arguments const& arguments) {
  bool const number = !field.empty() && field.size() < 9 && field.find_first_not_of("0123456789") == std::string::npos;
  if (field.empty() || number) {
    std::size_t const place = number ? std::stoul(field) : next++;
    if (place >= arguments.positional.size()) throw Problem("format has more fields than arguments");
    return arguments.positional[place];
  }
  for (auto const& [name, value] : arguments.named)
    if (name == field) return value;
  throw Problem(windlass::text("the field '{", field, "}' of format is not supported or has no argument"));
}

/// str.format with {}, {0} and {name}; formats behind a colon are not supported.
Value format_method(Runtime& runtime, std::string const& text, Arguments const& arguments) {
  std::string out;
  std::size_t next = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    char const c = text[at];
    bool const doubled = (c == '{' || c == '}') && at + 1 < text.size() && text[at + 1] == c;
    if (doubled || (c != '{' && c != '}')) {
      out += c;
      at += doubled ? 1 : 0;
      continue;
    }
    std::size_t const end = text.find('}', at);
    if (c == '}' || end == std::string::npos) throw Problem("a brace in the text for format has no partner");
    out += to_text(format_field(text.substr(at + 1, end - at - 1), next, arguments));
    if (out.size() > max_text_bytes) throw Problem("format makes a text longer than 64 MiB");
    at = end;
  }
  return runtime.text(std::move(out));
}

template <class Accepts>
Value all_characters(std::string const& text, Accepts const& accepts) {
  auto const characters = split_characters(text);
  return !characters.empty() && std::all_of(characters.begin(), characters.end(), accepts);
}

Value isdigit_method(Runtime&, std::string const& text, Arguments const&) {
  return all_characters(text, [](std::string_view c) { return c[0] >= '0' && c[0] <= '9'; });
}

Value isspace_method(Runtime&, std::string const& text, Arguments const&) {
  return all_characters(text, [](std::string_view c) { return is_space(first_character(c).code); });
}

template <std::string (*other_case)(std::string_view)>
Value is_case_method(Runtime&, std::string const& text, Arguments const&) {
  bool const unchanged = other_case(text) == text;
  return unchanged && to_lower(text) != to_upper(text);
}

constexpr std::pair<std::string_view, TextMethod> text_methods[] = {
    {"strip", strip_method<Side::both>},
    {"lstrip", strip_method<Side::left>},
    {"rstrip", strip_method<Side::right>},
    {"split", split_method},
    {"rsplit", rsplit_method},
    {"splitlines", splitlines_method},
    {"startswith", startswith_method},
    {"endswith", endswith_method},
    {"replace", replace_method},
    {"join", join_method},
    {"format", format_method},
    {"find", find_method<Direction::first>},
    {"rfind", find_method<Direction::last>},
    {"index", index_method},
    {"count", count_method},
    {"upper", map_method<to_upper>},
    {"lower", map_method<to_lower>},
    {"title", map_method<title>},
    {"capitalize", map_method<capitalize>},
    {"removeprefix", remove_affix<Side::left>},
    {"removesuffix", remove_affix<Side::right>},
    {"isdigit", isdigit_method},
    {"isspace", isspace_method},
    {"isupper", is_case_method<to_upper>},
    {"islower", is_case_method<to_lower>},
};

Value pair_of(Value const& key, Value const& value) { return List{{key, value}, ListKind::tuple}; }

Value items_method(Runtime& runtime, Dict const& dict, Arguments const& arguments) {
  Bound const bound("items", arguments, {});
  List out;
  for (auto const& [key, value] : dict.entries) out.items.push_back(pair_of(key, value));
  runtime.spend(out.items.size() + 1);
  return out;
}

Value keys_method(Runtime& runtime, Dict const& dict, Arguments const& arguments) {
  Bound const bound("keys", arguments, {});
  List out;
  for (auto const& [key, value] : dict.entries) out.items.push_back(key);
  runtime.spend(out.items.size() + 1);
  return out;
}

Value values_method(Runtime& runtime, Dict const& dict, Arguments const& arguments) {
  Bound const bound("values", arguments, {});
  List out;
  for (auto const& [key, value] : dict.entries) out.items.push_back(value);
  runtime.spend(out.items.size() + 1);
  return out;
}

Value get_method(Runtime&, Dict const& dict, Arguments const& arguments) {
  Bound const bound("get", arguments, {"key", "default"});
  if (Value const* found = dict.find(bound.required(0))) return *found;
  return bound.find(1) ? *bound.find(1) : Value(None{});
}

Value copy_method(Runtime&, Dict const& dict, Arguments const& arguments) {
  Bound const bound("copy", arguments, {});
  return dict;
}

constexpr std::pair<std::string_view, DictMethod> dict_methods[] = {{"items", items_method},
                                                                    {"keys", keys_method},
                                                                    {"values", values_method},
                                                                    {"get", get_method},
                                                                    {"copy", copy_method}};
}  // namespace

std::optional<Value> method_of(Value const& object, std::string const& name) {
  if (object.text()) {
    for (auto const& [known, method] : text_methods)
      if (known == name)
        return Callable{name, [object, method = method](Runtime& runtime, Arguments const& arguments) {
                          return method(runtime, *object.text(), arguments);
                        }};
  } else if (object.dict()) {
    for (auto const& [known, method] : dict_methods)
      if (known == name)
        return Callable{name, [object, method = method](Runtime& runtime, Arguments const& arguments) {
                          return method(runtime, *object.dict(), arguments);
                        }};
  }
  return std::nullopt;
}

}  // namespace windlass::jinja
