/// What filters, tests, methods and functions may ask of the interpreter that runs them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "src/model/jinja/value.hpp"

namespace windlass::jinja {

class Runtime {
 public:
  virtual ~Runtime() = default;
  /// Counts work: about one unit per operation and per 16 bytes made. Throws Problem when a template uses too much.
  virtual void spend(std::size_t work) = 0;
  virtual Value call(Value const& function, Arguments const& arguments) = 0;
  virtual Value filter(std::string_view name, Value const& value, Arguments const& arguments) = 0;
  virtual bool test(std::string_view name, Value const& value, Arguments const& arguments) = 0;
  virtual Namespace* new_namespace() = 0;  ///< lives as long as the rendering

  Value text(std::string made) {
    spend(1 + made.size() / 16);
    return Value(std::move(made));
  }
};

/// The arguments of a call, by place or by name. Throws Problem naming the function and what is missing or too much.
class Bound {
 public:
  /// `arguments` must outlive it.
  Bound(std::string_view function, Arguments const& arguments, std::vector<std::string_view> names);
  Bound(std::string_view function, Arguments&& arguments, std::vector<std::string_view> names) = delete;

  Value const* find(std::size_t i) const { return values_[i]; }  ///< null: not given
  Value const& required(std::size_t i) const;
  std::string_view text(std::size_t i) const;
  std::string_view text_or(std::size_t i, std::string_view otherwise) const;
  std::int64_t integer_or(std::size_t i, std::int64_t otherwise) const;
  bool flag(std::size_t i) const;  ///< false where it is not given

 private:
  std::string_view function_;
  std::vector<std::string_view> names_;
  std::vector<Value const*> values_;
};

/// The things that a for would see: items, keys, characters. Throws Problem where a value has none.
std::vector<Value> iterate(Runtime& runtime, Value const& value);

/// object.name as Jinja has it: methods first, then fields. Undefined where there is neither.
Value attribute_of(Runtime& runtime, Value const& object, std::string const& name);
/// object[key]: fields first, then methods. Undefined where there is neither.
Value item_of(Runtime& runtime, Value const& object, Value const& key);
struct SliceBounds {
  std::optional<std::int64_t> begin, end, step;
};
Value slice_of(Runtime& runtime, Value const& object, SliceBounds const& bounds);

/// A method of a string or dictionary; nothing if it has none of this name.
std::optional<Value> method_of(Value const& object, std::string const& name);
/// range, dict, namespace, raise_exception, strftime_now; nothing if there is none of this name.
std::optional<Value> global_function(std::string_view name);

using FilterFunction = Value (*)(Runtime&, Value const&, Arguments const&);
using TestFunction = bool (*)(Runtime&, Value const&, Arguments const&);
FilterFunction find_filter(std::string_view name);  ///< null: there is none
TestFunction find_test(std::string_view name);      ///< null: there is none
/// The filters, by file.
FilterFunction find_text_filter(std::string_view name);
FilterFunction find_list_filter(std::string_view name);
FilterFunction find_number_filter(std::string_view name);

/// Operators that are more than one line. All throw Problem as Python would.
Value add(Runtime& runtime, Value const& a, Value const& b);
Value subtract(Value const& a, Value const& b);
Value multiply(Runtime& runtime, Value const& a, Value const& b);
Value divide(Value const& a, Value const& b);
Value floor_divide(Value const& a, Value const& b);
Value modulo(Runtime& runtime, Value const& a, Value const& b);
Value power(Value const& a, Value const& b);
Value negative(Value const& a);
bool contains(Runtime& runtime, Value const& whole, Value const& part);

/// The message of a template's raise_exception, passed on as it is.
class Raised : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace windlass::jinja
