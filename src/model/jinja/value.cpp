#include "src/model/jinja/value.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <limits>

#include "src/core/text.hpp"

namespace windlass::jinja {

namespace {
int depth_of(Value const& value) {
  if (auto const* list = value.list()) return list->depth + 1;
  if (auto const* dict = value.dict()) return dict->depth + 1;
  return 0;
}

int checked(int depth) {
  if (depth > max_value_depth) throw Problem(text("lists or dictionaries are nested deeper than ", max_value_depth));
  return depth;
}
}  // namespace

Value::Value(List v) {
  for (Value const& item : v.items) v.depth = std::max(v.depth, checked(depth_of(item)));
  data_ = std::make_shared<List const>(std::move(v));
}

Value::Value(Dict v) {
  for (auto const& [key, item] : v.entries)
    v.depth = std::max({v.depth, checked(depth_of(key)), checked(depth_of(item))});
  data_ = std::make_shared<Dict const>(std::move(v));
}

Value::Value(Callable v) : data_(std::make_shared<Callable const>(std::move(v))) {}

std::string const* Value::text() const {
  auto const* held = std::get_if<Text>(&data_);
  return held ? held->get() : nullptr;
}

List const* Value::list() const {
  auto const* held = std::get_if<std::shared_ptr<List const>>(&data_);
  return held ? held->get() : nullptr;
}

Dict const* Value::dict() const {
  auto const* held = std::get_if<std::shared_ptr<Dict const>>(&data_);
  return held ? held->get() : nullptr;
}

Namespace* Value::name_space() const {
  auto* const* held = std::get_if<Namespace*>(&data_);
  return held ? *held : nullptr;
}

Loop* Value::loop() const {
  auto const* held = std::get_if<std::shared_ptr<Loop>>(&data_);
  return held ? held->get() : nullptr;
}

Callable const* Value::callable() const {
  auto const* held = std::get_if<std::shared_ptr<Callable const>>(&data_);
  return held ? held->get() : nullptr;
}

Value const* Dict::find(Value const& key) const {
  if (auto const* name = key.text()) return find(std::string_view(*name));
  for (auto const& [held, value] : entries)
    if (equal(held, key)) return &value;
  return nullptr;
}

Value const* Dict::find(std::string_view key) const {
  for (auto const& [held, value] : entries)
    if (auto const* name = held.text(); name && *name == key) return &value;
  return nullptr;
}

void Dict::set(Value key, Value value) {
  if (Value const* held = find(key)) {
    *const_cast<Value*>(held) = std::move(value);
  } else {
    entries.emplace_back(std::move(key), std::move(value));
  }
}

Value* Namespace::find(std::string_view name) {
  for (auto& [held, value] : fields)
    if (held == name) return &value;
  return nullptr;
}

void Namespace::set(std::string const& name, Value value) {
  if (Value* held = find(name)) {
    *held = std::move(value);
  } else {
    fields.emplace_back(name, std::move(value));
  }
}

Value from_json(boost::json::value const& json) {
  switch (json.kind()) {
    case boost::json::kind::null:
      return None{};
    case boost::json::kind::bool_:
      return json.get_bool();
    case boost::json::kind::int64:
      return json.get_int64();
    case boost::json::kind::uint64:
      if (json.get_uint64() > std::uint64_t(std::numeric_limits<std::int64_t>::max())) return double(json.get_uint64());
      return std::int64_t(json.get_uint64());
    case boost::json::kind::double_:
      return json.get_double();
    case boost::json::kind::string:
      return std::string_view(json.get_string());
    case boost::json::kind::array: {
      List list;
      for (auto const& item : json.get_array()) list.items.push_back(from_json(item));
      return list;
    }
    case boost::json::kind::object: {
      Dict dict;
      for (auto const& field : json.get_object())
        dict.entries.emplace_back(std::string_view(field.key()), from_json(field.value()));
      return dict;
    }
  }
  return None{};
}

bool truth(Value const& value) {
  if (auto const* flag = std::get_if<bool>(&value.data())) return *flag;
  if (auto const* integer = value.plain_integer()) return *integer != 0;
  if (auto const* real = std::get_if<double>(&value.data())) return *real != 0;
  if (auto const* text = value.text()) return !text->empty();
  if (auto const* list = value.list()) return !list->items.empty();
  if (auto const* dict = value.dict()) return !dict->entries.empty();
  return !value.is_undefined() && !value.is_none();
}

namespace {
bool equal_lists(List const& a, List const& b) {
  return a.kind == b.kind && std::equal(a.items.begin(), a.items.end(), b.items.begin(), b.items.end(), equal);
}

bool equal_dicts(Dict const& a, Dict const& b) {
  if (a.entries.size() != b.entries.size()) return false;
  return std::all_of(a.entries.begin(), a.entries.end(), [&](auto const& entry) {
    Value const* other = b.find(entry.first);
    return other && equal(entry.second, *other);
  });
}

std::int64_t integer_of(Value const& value) {
  if (auto const* flag = std::get_if<bool>(&value.data())) return *flag ? 1 : 0;
  return *value.plain_integer();
}
}  // namespace

bool equal(Value const& a, Value const& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is<double>() || b.is<double>()) return to_real(a) == to_real(b);
    return integer_of(a) == integer_of(b);
  }
  if (a.data().index() != b.data().index()) return false;
  if (a.text()) return *a.text() == *b.text();
  if (a.list()) return equal_lists(*a.list(), *b.list());
  if (a.dict()) return equal_dicts(*a.dict(), *b.dict());
  if (a.name_space()) return a.name_space() == b.name_space();
  if (a.loop()) return a.loop() == b.loop();
  if (a.callable()) return a.callable() == b.callable();
  return true;  // none and undefined each have one value
}

bool less(Value const& a, Value const& b) {
  require_defined(a);
  require_defined(b);
  if (a.is_number() && b.is_number()) {
    if (a.is<double>() || b.is<double>()) return to_real(a) < to_real(b);
    return integer_of(a) < integer_of(b);
  }
  if (a.text() && b.text()) return *a.text() < *b.text();  // UTF-8 orders as code points do
  if (a.list() && b.list())
    return std::lexicographical_compare(a.list()->items.begin(), a.list()->items.end(), b.list()->items.begin(),
                                        b.list()->items.end(), less);
  throw Problem(text("'<' not supported between '", type_name(a), "' and '", type_name(b), "'"));
}

std::string_view type_name(Value const& value) {
  constexpr std::string_view names[] = {"Undefined", "NoneType", "bool",      "int",         "float",   "str",
                                        "list",      "dict",     "Namespace", "LoopContext", "function"};
  if (value.list() && value.list()->kind == ListKind::tuple) return "tuple";
  return names[value.data().index()];
}

double to_real(Value const& value) {
  if (auto const* real = std::get_if<double>(&value.data())) return *real;
  return double(to_integer(value, "a number"));
}

std::int64_t to_integer(Value const& value, std::string_view what) {
  require_defined(value);
  if (value.is<bool>() || value.is<std::int64_t>()) return integer_of(value);
  throw Problem(text(what, " is wanted, not '", type_name(value), "'"));
}

void require_defined(Value const& value) {
  if (auto const* undefined = std::get_if<Undefined>(&value.data()))
    throw Problem(undefined->name.empty() ? "a value is undefined" : text("'", undefined->name, "' is undefined"));
}

}  // namespace windlass::jinja
