/// Iterating, fields, items and slices; arguments of calls.
#include <algorithm>

#include "src/core/text.hpp"
#include "src/model/jinja/print.hpp"
#include "src/model/jinja/runtime.hpp"
#include "src/model/jinja/strings.hpp"

namespace windlass::jinja {

Bound::Bound(std::string_view function, Arguments const& arguments, std::vector<std::string_view> names)
    : function_(function), names_(std::move(names)), values_(names_.size()) {
  if (arguments.positional.size() > names_.size())
    throw Problem(
        windlass::text(function, " takes at most ", names_.size(), " arguments, not ", arguments.positional.size()));
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (auto const& [name, value] : arguments.named) {
    auto const at = std::find(names_.begin(), names_.end(), name);
    if (at == names_.end()) throw Problem(windlass::text(function, " has no argument '", name, "'"));
    values_[std::size_t(at - names_.begin())] = &value;
  }
}

Value const& Bound::required(std::size_t i) const {
  if (!values_[i]) throw Problem(windlass::text(function_, " lacks its argument '", names_[i], "'"));
  return *values_[i];
}

std::string_view Bound::text(std::size_t i) const {
  Value const& value = required(i);
  require_defined(value);
  if (!value.text())
    throw Problem(windlass::text(function_, " wants a text as '", names_[i], "', not '", type_name(value), "'"));
  return *value.text();
}

std::string_view Bound::text_or(std::size_t i, std::string_view otherwise) const {
  return values_[i] ? text(i) : otherwise;
}

std::int64_t Bound::integer_or(std::size_t i, std::int64_t otherwise) const {
  return values_[i] ? to_integer(*values_[i], windlass::text("an integer for '", names_[i], "'")) : otherwise;
}

bool Bound::flag(std::size_t i) const { return values_[i] && truth(*values_[i]); }

std::vector<Value> iterate(Runtime& runtime, Value const& value) {
  std::vector<Value> out;
  if (auto const* list = value.list()) {
    out = list->items;
  } else if (auto const* dict = value.dict()) {
    for (auto const& [key, item] : dict->entries) out.push_back(key);
  } else if (auto const* content = value.text()) {
    for (std::string_view const character : split_characters(*content)) out.push_back(character);
  } else if (!value.is_undefined()) {
    throw Problem(text("'", type_name(value), "' is not iterable"));
  }
  runtime.spend(out.size() + 1);
  return out;
}

namespace {
Value undefined(std::string name) { return Undefined{std::move(name)}; }

/// A loop's fields; cycle and changed are functions.
std::optional<Value> loop_field(Value const& object, std::string const& name) {
  Loop& loop = *object.loop();
  auto const length = std::int64_t(loop.items.size()), index0 = std::int64_t(loop.index0);
  auto const neighbour = [&](std::int64_t i) {
    return i >= 0 && i < length ? loop.items[std::size_t(i)] : undefined("loop." + name);
  };
  if (name == "index") return index0 + 1;
  if (name == "index0") return index0;
  if (name == "revindex") return length - index0;
  if (name == "revindex0") return length - index0 - 1;
  if (name == "first") return index0 == 0;
  if (name == "last") return index0 + 1 == length;
  if (name == "length") return length;
  if (name == "depth") return 1;  // only recursive loops are deeper
  if (name == "depth0") return 0;
  if (name == "previtem") return neighbour(index0 - 1);
  if (name == "nextitem") return neighbour(index0 + 1);
  if (name == "cycle")
    return Callable{name, [object](Runtime&, Arguments const& arguments) {
                      if (arguments.positional.empty()) throw Problem("loop.cycle without items");
                      return arguments.positional[object.loop()->index0 % arguments.positional.size()];
                    }};
  if (name == "changed")
    return Callable{name, [object](Runtime&, Arguments const& arguments) -> Value {
                      // Kept as text: a loop that kept itself would never be freed.
                      std::string now = representation(List{arguments.positional, ListKind::tuple});
                      bool const changed = object.loop()->last_changed != now;
                      object.loop()->last_changed = std::move(now);
                      return changed;
                    }};
  return std::nullopt;
}

std::optional<std::int64_t> place_in(std::size_t size, std::int64_t index) {
  if (index < 0) index += std::int64_t(size);
  if (index < 0 || index >= std::int64_t(size)) return std::nullopt;
  return index;
}

Value indexed(Value const& object, std::int64_t index) {
  if (auto const* list = object.list()) {
    auto const at = place_in(list->items.size(), index);
    return at ? list->items[std::size_t(*at)] : undefined(text("index ", index));
  }
  auto const characters = split_characters(*object.text());
  auto const at = place_in(characters.size(), index);
  return at ? Value(characters[std::size_t(*at)]) : undefined(text("index ", index));
}
}  // namespace

Value attribute_of(Runtime& runtime, Value const& object, std::string const& name) {
  require_defined(object);
  runtime.spend(1);
  if (auto* fields = object.name_space()) {
    Value const* found = fields->find(name);
    return found ? *found : undefined(name);
  }
  if (object.loop()) return loop_field(object, name).value_or(undefined("loop." + name));
  if (auto method = method_of(object, name)) return *std::move(method);
  if (auto const* dict = object.dict())
    if (Value const* found = dict->find(std::string_view(name))) return *found;
  return undefined(name);
}

Value item_of(Runtime& runtime, Value const& object, Value const& key) {
  require_defined(object);
  runtime.spend(1);
  if (auto const* dict = object.dict())
    if (Value const* found = dict->find(key)) return *found;
  bool const by_place = (object.list() || object.text()) && key.is_number() && !key.is<double>();
  if (by_place) {
    if (object.text()) runtime.spend(object.text()->size() / 16);
    return indexed(object, to_integer(key, "an index"));
  }
  if (auto const* name = key.text()) {
    if (object.dict()) {
      auto method = method_of(object, *name);
      return method ? *std::move(method) : undefined(*name);
    }
    return attribute_of(runtime, object, *name);
  }
  require_defined(key);
  return undefined(to_text(key));
}

namespace {
/// The places that Python's slice visits in `size` items.
std::vector<std::size_t> slice_places(std::size_t size, SliceBounds const& bounds) {
  auto const length = std::int64_t(size), step = bounds.step.value_or(1);
  if (step == 0) throw Problem("a slice's step is zero");
  auto const clamp = [&](std::int64_t at) {
    if (at < 0) at += length;
    return step > 0 ? std::clamp<std::int64_t>(at, 0, length) : std::clamp<std::int64_t>(at, -1, length - 1);
  };
  std::int64_t const begin = bounds.begin ? clamp(*bounds.begin) : (step > 0 ? 0 : length - 1);
  std::int64_t const end = bounds.end ? clamp(*bounds.end) : (step > 0 ? length : -1);
  std::vector<std::size_t> out;
  if (step > 0) {
    for (std::int64_t at = begin; at < end; at += std::min(step, length)) out.push_back(std::size_t(at));
  } else {
    for (std::int64_t at = begin; at > end; at += std::max(step, -length)) out.push_back(std::size_t(at));
  }
  return out;
}
}  // namespace

Value slice_of(Runtime& runtime, Value const& object, SliceBounds const& bounds) {
  require_defined(object);
  if (auto const* list = object.list()) {
    List out{{}, list->kind};
    for (std::size_t const at : slice_places(list->items.size(), bounds)) out.items.push_back(list->items[at]);
    runtime.spend(out.items.size() + 1);
    return out;
  }
  if (!object.text()) throw Problem(text("'", type_name(object), "' cannot be sliced"));
  auto const characters = split_characters(*object.text());
  runtime.spend(characters.size() / 4 + 1);
  std::string out;
  for (std::size_t const at : slice_places(characters.size(), bounds)) out += characters[at];
  return runtime.text(std::move(out));
}

}  // namespace windlass::jinja
