/// Filters that choose from and arrange lists.
#include <algorithm>

#include "src/core/text.hpp"
#include "src/model/jinja/print.hpp"
#include "src/model/jinja/runtime.hpp"
#include "src/model/jinja/strings.hpp"
#include "src/model/tokenizer/normalizer.hpp"

namespace windlass::jinja {

namespace {
/// "a.b.0" step by step, or one number.
Value path_of(Runtime& runtime, Value value, Value const& path) {
  if (!path.text()) return item_of(runtime, value, path);
  for (std::string_view const part : split(*path.text(), ".", -1)) {
    bool const number = !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string::npos;
    value = item_of(runtime, value, number ? Value(std::int64_t(std::stol(std::string(part)))) : Value(part));
  }
  return value;
}

enum class Case : unsigned char { ignored, counts };

/// What an item is compared by.
Value sort_key(Runtime& runtime, Value const& item, Value const* attribute, Case letters) {
  Value key = attribute && !attribute->is_none() ? path_of(runtime, item, *attribute) : item;
  if (letters == Case::ignored && key.text()) return runtime.text(to_lower(*key.text()));
  return key;
}

Value make_list(Runtime& runtime, std::vector<Value> items) {
  runtime.spend(items.size() + 1);
  return List{std::move(items)};
}

Value default_filter(Runtime&, Value const& value, Arguments const& arguments) {
  Bound const bound("default", arguments, {"default_value", "boolean"});
  bool const replaced = value.is_undefined() || (bound.flag(1) && !truth(value));
  return replaced ? (bound.find(0) ? *bound.find(0) : Value("")) : value;
}

Value list_filter(Runtime& runtime, Value const& value, Arguments const&) {
  return make_list(runtime, iterate(runtime, value));
}

Value join(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("join", arguments, {"d", "attribute"});
  std::string const between = bound.find(0) ? to_text(*bound.find(0)) : "";
  std::string out;
  bool first = true;
  for (Value const& item : iterate(runtime, value)) {
    bool const by_attribute = bound.find(1) && !bound.find(1)->is_none();
    if (!first) out += between;
    out += to_text(by_attribute ? path_of(runtime, item, *bound.find(1)) : item);
    if (out.size() > max_text_bytes) throw Problem("join makes a text longer than 64 MiB");
    first = false;
  }
  return runtime.text(std::move(out));
}

Value first(Runtime& runtime, Value const& value, Arguments const&) {
  std::vector<Value> const items = iterate(runtime, value);
  return items.empty() ? Value(Undefined{"first"}) : items.front();
}

Value last(Runtime& runtime, Value const& value, Arguments const&) {
  std::vector<Value> const items = iterate(runtime, value);
  return items.empty() ? Value(Undefined{"last"}) : items.back();
}

Value reverse(Runtime& runtime, Value const& value, Arguments const&) {
  std::vector<Value> items = iterate(runtime, value);
  std::reverse(items.begin(), items.end());
  if (!value.text()) return make_list(runtime, std::move(items));
  std::string out;
  for (Value const& item : items) out += *item.text();
  return runtime.text(std::move(out));
}

Value items_filter(Runtime& runtime, Value const& value, Arguments const&) {
  if (value.is_undefined()) return List{};
  if (!value.dict()) throw Problem("items wants a dictionary");
  List out;
  for (auto const& [key, item] : value.dict()->entries) out.items.push_back(List{{key, item}, ListKind::tuple});
  runtime.spend(out.items.size() + 1);
  return out;
}

/// As Jinja's lazy filters: what counts as false (none above all) has no items.
std::vector<Value> iterate_if_true(Runtime& runtime, Value const& value) {
  return truth(value) ? iterate(runtime, value) : std::vector<Value>{};
}

Value map(Runtime& runtime, Value const& value, Arguments const& arguments) {
  std::vector<Value> out;
  bool const by_attribute = arguments.positional.empty();
  Arguments rest = arguments;
  if (!by_attribute) rest.positional.erase(rest.positional.begin());
  Arguments const none;
  Bound const named("map", by_attribute ? arguments : none, {"attribute", "default"});
  for (Value const& item : iterate_if_true(runtime, value)) {
    if (by_attribute) {
      Value found = path_of(runtime, item, named.required(0));
      out.push_back(found.is_undefined() && named.find(1) ? *named.find(1) : std::move(found));
    } else {
      out.push_back(runtime.filter(to_text(arguments.positional[0]), item, rest));
    }
  }
  return make_list(runtime, std::move(out));
}

enum class Keep : unsigned char { passing, failing };
enum class Subject : unsigned char { item, attribute };

/// select, reject, selectattr, rejectattr: by a test, or by truth without one.
template <Subject subject, Keep keep>
Value choose(Runtime& runtime, Value const& value, Arguments const& arguments) {
  constexpr std::size_t before_test = subject == Subject::attribute ? 1 : 0;
  if (arguments.positional.size() < before_test) throw Problem("selectattr wants an attribute");
  Arguments rest = arguments;
  std::size_t const used = std::min(before_test + 1, rest.positional.size());
  rest.positional.erase(rest.positional.begin(), rest.positional.begin() + std::ptrdiff_t(used));
  bool const tested = arguments.positional.size() > before_test;
  std::vector<Value> out;
  for (Value const& item : iterate_if_true(runtime, value)) {
    Value const looked_at = before_test ? path_of(runtime, item, arguments.positional[0]) : item;
    bool const passes =
        tested ? runtime.test(to_text(arguments.positional[before_test]), looked_at, rest) : truth(looked_at);
    if (passes == (keep == Keep::passing)) out.push_back(item);
  }
  return make_list(runtime, std::move(out));
}

struct Keyed {
  Value key, item;
};

std::vector<Keyed> keyed(Runtime& runtime, Value const& value, Value const* attribute, Case letters) {
  std::vector<Keyed> out;
  for (Value& item : iterate(runtime, value)) out.push_back({sort_key(runtime, item, attribute, letters), item});
  return out;
}

void sort_keyed(Runtime& runtime, std::vector<Keyed>& items) {
  std::stable_sort(items.begin(), items.end(), [&](Keyed const& a, Keyed const& b) {
    runtime.spend(1);
    return less(a.key, b.key);
  });
}

Value sort(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  auto items = keyed(runtime, value, bound.find(2), bound.flag(1) ? Case::counts : Case::ignored);
  if (bound.flag(0)) std::reverse(items.begin(), items.end());  // twice, so that equal items keep their order
  sort_keyed(runtime, items);
  if (bound.flag(0)) std::reverse(items.begin(), items.end());
  std::vector<Value> out;
  for (Keyed& item : items) out.push_back(std::move(item.item));
  return make_list(runtime, std::move(out));
}

Value dictsort(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  std::string_view const by = bound.text_or(1, "key");
  if (by != "key" && by != "value") throw Problem("dictsort sorts by key or value");
  Value const place = by == "key" ? 0 : 1;
  Value const pairs = items_filter(runtime, value, {});
  auto items = keyed(runtime, pairs, &place, bound.flag(0) ? Case::counts : Case::ignored);
  if (bound.flag(2)) std::reverse(items.begin(), items.end());
  sort_keyed(runtime, items);
  if (bound.flag(2)) std::reverse(items.begin(), items.end());
  std::vector<Value> out;
  for (Keyed& item : items) out.push_back(std::move(item.item));
  return make_list(runtime, std::move(out));
}

Value unique(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("unique", arguments, {"case_sensitive", "attribute"});
  std::vector<Keyed> kept;
  for (Keyed& item : keyed(runtime, value, bound.find(1), bound.flag(0) ? Case::counts : Case::ignored)) {
    runtime.spend(kept.size() + 1);
    bool const seen = std::any_of(kept.begin(), kept.end(), [&](Keyed const& k) { return equal(k.key, item.key); });
    if (!seen) kept.push_back(std::move(item));
  }
  std::vector<Value> out;
  for (Keyed& item : kept) out.push_back(std::move(item.item));
  return make_list(runtime, std::move(out));
}

enum class Extreme : unsigned char { least, greatest };
template <Extreme extreme>
Value extreme_of(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("min and max", arguments, {"case_sensitive", "attribute"});
  auto const items = keyed(runtime, value, bound.find(1), bound.flag(0) ? Case::counts : Case::ignored);
  if (items.empty()) return Undefined{"min or max of nothing"};
  Keyed const* best = &items[0];
  for (Keyed const& item : items)
    if (extreme == Extreme::least ? less(item.key, best->key) : less(best->key, item.key)) best = &item;
  return best->item;
}

Value sum(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("sum", arguments, {"attribute", "start"});
  Value total = bound.find(1) ? *bound.find(1) : Value(0);
  bool const by_attribute = bound.find(0) && !bound.find(0)->is_none();
  for (Value const& item : iterate(runtime, value))
    total = add(runtime, total, by_attribute ? path_of(runtime, item, *bound.find(0)) : item);
  return total;
}

Value groupby(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("groupby", arguments, {"attribute"});
  auto items = keyed(runtime, value, &bound.required(0), Case::counts);
  sort_keyed(runtime, items);
  std::vector<Value> groups;
  for (std::size_t begin = 0; begin < items.size();) {
    List members;
    std::size_t end = begin;
    while (end < items.size() && equal(items[end].key, items[begin].key)) members.items.push_back(items[end++].item);
    groups.push_back(List{{items[begin].key, std::move(members)}, ListKind::tuple});
    begin = end;
  }
  return make_list(runtime, std::move(groups));
}

Value batch(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("batch", arguments, {"linecount", "fill_with"});
  std::int64_t const size = to_integer(bound.required(0), "an integer for batch");
  if (size < 1 || size > 100000) throw Problem("batch wants a size from 1 to 100000");
  std::vector<Value> rows;
  List row;
  for (Value& item : iterate(runtime, value)) {
    row.items.push_back(item);
    if (std::int64_t(row.items.size()) == size) rows.push_back(std::exchange(row, List{}));
  }
  if (row.items.empty()) return make_list(runtime, std::move(rows));
  bool const fills = bound.find(1) && !bound.find(1)->is_none();
  if (fills) row.items.resize(std::size_t(size), *bound.find(1));
  rows.push_back(std::move(row));
  return make_list(runtime, std::move(rows));
}

Value attr(Runtime& runtime, Value const& value, Arguments const& arguments) {
  Bound const bound("attr", arguments, {"name"});
  return attribute_of(runtime, value, std::string(bound.text(0)));
}

constexpr std::pair<std::string_view, FilterFunction> filters[] = {
    {"default", default_filter},
    {"d", default_filter},
    {"list", list_filter},
    {"join", join},
    {"first", first},
    {"last", last},
    {"reverse", reverse},
    {"items", items_filter},
    {"map", map},
    {"select", choose<Subject::item, Keep::passing>},
    {"reject", choose<Subject::item, Keep::failing>},
    {"selectattr", choose<Subject::attribute, Keep::passing>},
    {"rejectattr", choose<Subject::attribute, Keep::failing>},
    {"sort", sort},
    {"dictsort", dictsort},
    {"unique", unique},
    {"min", extreme_of<Extreme::least>},
    {"max", extreme_of<Extreme::greatest>},
    {"sum", sum},
    {"groupby", groupby},
    {"batch", batch},
    {"attr", attr}};
}  // namespace

FilterFunction find_list_filter(std::string_view name) {
  for (auto const& [known, filter] : filters)
    if (known == name) return filter;
  return nullptr;
}

}  // namespace windlass::jinja
