/// The values that templates compute with: Python's, as far as chat templates need them.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace windlass::jinja {

class Value;
class Runtime;
struct List;
struct Dict;
struct Namespace;
struct Loop;
struct Callable;

/// What went wrong while rendering; the interpreter adds template and line and makes an InputError of it.
class Problem : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A name or field that does not exist. It prints as nothing and counts as false; using it otherwise is a Problem.
struct Undefined {
  std::string name;
};
struct None {
  bool operator==(None const&) const = default;
};

/// Immutable but for namespaces; copying shares strings, lists and dictionaries.
class Value {
 public:
  using Text = std::shared_ptr<std::string const>;
  using Data =
      std::variant<Undefined, None, bool, std::int64_t, double, Text, std::shared_ptr<List const>,
                   std::shared_ptr<Dict const>, Namespace*, std::shared_ptr<Loop>, std::shared_ptr<Callable const>>;

  Value() = default;
  Value(Undefined v) : data_(std::move(v)) {}
  Value(None v) : data_(v) {}
  Value(bool v) : data_(v) {}
  Value(int v) : data_(std::int64_t(v)) {}
  Value(std::int64_t v) : data_(v) {}
  Value(double v) : data_(v) {}
  Value(std::string v) : data_(std::make_shared<std::string const>(std::move(v))) {}
  Value(std::string_view v) : Value(std::string(v)) {}
  Value(char const* v) : Value(std::string(v)) {}
  Value(List v);
  Value(Dict v);
  Value(Namespace* v) : data_(v) {}
  Value(std::shared_ptr<Loop> v) : data_(std::move(v)) {}
  Value(Callable v);

  template <class T>
  bool is() const {
    return std::holds_alternative<T>(data_);
  }
  bool is_undefined() const { return is<Undefined>(); }
  bool is_none() const { return is<None>(); }
  bool is_number() const { return is<bool>() || is<std::int64_t>() || is<double>(); }

  /// Null where the value is something else. `integer` also reads booleans, as Python does.
  std::string const* text() const;
  List const* list() const;
  Dict const* dict() const;
  Namespace* name_space() const;
  Loop* loop() const;
  Callable const* callable() const;
  std::int64_t const* plain_integer() const { return std::get_if<std::int64_t>(&data_); }
  Data const& data() const { return data_; }

 private:
  Data data_;
};

enum class ListKind : unsigned char { list, tuple };

struct List {
  std::vector<Value> items;
  ListKind kind = ListKind::list;
  int depth = 0;  ///< of what it holds; set by Value, bounded so that no walk over a value overflows the stack
};

/// Keys keep the order in which they were added.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  int depth = 0;

  Value const* find(Value const& key) const;
  Value const* find(std::string_view key) const;
  void set(Value key, Value value);
};

/// Mutable, so that a loop can tell the text behind it something. Owned by the interpreter.
struct Namespace {
  std::vector<std::pair<std::string, Value>> fields;

  Value* find(std::string_view name);
  void set(std::string const& name, Value value);
};

/// What `loop` is inside a for.
struct Loop {
  std::vector<Value> items;
  std::size_t index0 = 0;
  std::string last_changed;  ///< what loop.changed was given last, as text
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// A function, method or macro.
struct Callable {
  std::string name;
  std::function<Value(Runtime&, Arguments const&)> call;
};

/// Nesting of lists and dictionaries.
constexpr int max_value_depth = 100;

Value from_json(boost::json::value const& json);

bool truth(Value const& value);
/// Python's ==: numbers by value, also across types; lists and dictionaries by content.
bool equal(Value const& a, Value const& b);
/// Python's <; throws Problem where the types have no order.
bool less(Value const& a, Value const& b);
/// "int", "str", "list" … as Python's messages say.
std::string_view type_name(Value const& value);
/// Of a number, also of a boolean. Throws Problem for anything else.
double to_real(Value const& value);
/// Of an integer or boolean. Throws Problem for anything else, with `what` in the message.
std::int64_t to_integer(Value const& value, std::string_view what);
/// Throws Problem "'name' is undefined" where it is.
void require_defined(Value const& value);

}  // namespace windlass::jinja
