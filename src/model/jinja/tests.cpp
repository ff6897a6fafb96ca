/// The tests that follow `is`.
#include <cmath>

#include "src/core/text.hpp"
#include "src/model/jinja/runtime.hpp"
#include "src/model/tokenizer/normalizer.hpp"

namespace windlass::jinja {

namespace {
bool is_text(Value const& value) { return value.text() != nullptr; }
bool is_none(Value const& value) { return value.is_none(); }
bool is_defined(Value const& value) { return !value.is_undefined(); }
bool is_undefined(Value const& value) { return value.is_undefined(); }
bool is_number(Value const& value) { return value.is_number(); }
bool is_integer(Value const& value) { return value.is<std::int64_t>(); }
bool is_float(Value const& value) { return value.is<double>(); }
bool is_boolean(Value const& value) { return value.is<bool>(); }
bool is_true(Value const& value) { return value.is<bool>() && truth(value); }
bool is_false(Value const& value) { return value.is<bool>() && !truth(value); }
bool is_mapping(Value const& value) { return value.dict() != nullptr; }
bool is_callable(Value const& value) { return value.callable() != nullptr; }
/// In Python undefined values have __iter__ and __len__ too, but no __getitem__ that works.
bool is_iterable(Value const& value) { return value.list() || value.dict() || value.text() || value.is_undefined(); }
bool is_sequence(Value const& value) { return is_iterable(value); }
bool is_lower(Value const& value) {
  return value.text() && to_lower(*value.text()) == *value.text() && to_upper(*value.text()) != *value.text();
}
bool is_upper(Value const& value) {
  return value.text() && to_upper(*value.text()) == *value.text() && to_lower(*value.text()) != *value.text();
}

template <bool (*predicate)(Value const&)>
bool simple(Runtime&, Value const& value, Arguments const& arguments) {
  Bound const bound("a test", arguments, {});
  return predicate(value);
}

bool is_equal(Runtime&, Value const& value, Arguments const& arguments) {
  return equal(value, Bound("eq", arguments, {"other"}).required(0));
}
bool is_not_equal(Runtime&, Value const& value, Arguments const& arguments) {
  return !equal(value, Bound("ne", arguments, {"other"}).required(0));
}
bool is_less(Runtime&, Value const& value, Arguments const& arguments) {
  return less(value, Bound("lt", arguments, {"other"}).required(0));
}
bool is_greater(Runtime&, Value const& value, Arguments const& arguments) {
  return less(Bound("gt", arguments, {"other"}).required(0), value);
}
bool is_at_most(Runtime&, Value const& value, Arguments const& arguments) {
  return !less(Bound("le", arguments, {"other"}).required(0), value);
}
bool is_at_least(Runtime&, Value const& value, Arguments const& arguments) {
  return !less(value, Bound("ge", arguments, {"other"}).required(0));
}
bool is_in(Runtime& runtime, Value const& value, Arguments const& arguments) {
  return contains(runtime, Bound("in", arguments, {"seq"}).required(0), value);
}
bool is_same(Runtime&, Value const& value, Arguments const& arguments) {
  Value const& other = Bound("sameas", arguments, {"other"}).required(0);
  return value.data().index() == other.data().index() && equal(value, other);
}
bool is_divisible(Runtime& runtime, Value const& value, Arguments const& arguments) {
  return equal(modulo(runtime, value, Bound("divisibleby", arguments, {"num"}).required(0)), 0);
}
bool is_odd(Runtime& runtime, Value const& value, Arguments const&) { return equal(modulo(runtime, value, 2), 1); }
bool is_even(Runtime& runtime, Value const& value, Arguments const&) { return equal(modulo(runtime, value, 2), 0); }
bool is_filter(Runtime&, Value const& value, Arguments const&) { return value.text() && find_filter(*value.text()); }
bool is_test(Runtime&, Value const& value, Arguments const&) { return value.text() && find_test(*value.text()); }

constexpr std::pair<std::string_view, TestFunction> tests[] = {{"defined", simple<is_defined>},
                                                               {"undefined", simple<is_undefined>},
                                                               {"none", simple<is_none>},
                                                               {"string", simple<is_text>},
                                                               {"number", simple<is_number>},
                                                               {"integer", simple<is_integer>},
                                                               {"float", simple<is_float>},
                                                               {"boolean", simple<is_boolean>},
                                                               {"true", simple<is_true>},
                                                               {"false", simple<is_false>},
                                                               {"mapping", simple<is_mapping>},
                                                               {"iterable", simple<is_iterable>},
                                                               {"sequence", simple<is_sequence>},
                                                               {"callable", simple<is_callable>},
                                                               {"lower", simple<is_lower>},
                                                               {"upper", simple<is_upper>},
                                                               {"eq", is_equal},
                                                               {"==", is_equal},
                                                               {"equalto", is_equal},
                                                               {"ne", is_not_equal},
                                                               {"!=", is_not_equal},
                                                               {"lt", is_less},
                                                               {"<", is_less},
                                                               {"lessthan", is_less},
                                                               {"gt", is_greater},
                                                               {">", is_greater},
                                                               {"greaterthan", is_greater},
                                                               {"le", is_at_most},
                                                               {"<=", is_at_most},
                                                               {"ge", is_at_least},
                                                               {">=", is_at_least},
                                                               {"in", is_in},
                                                               {"sameas", is_same},
                                                               {"divisibleby", is_divisible},
                                                               {"odd", is_odd},
                                                               {"even", is_even},
                                                               {"filter", is_filter},
                                                               {"test", is_test}};
}  // namespace

TestFunction find_test(std::string_view name) {
  for (auto const& [known, test] : tests)
    if (known == name) return test;
  return nullptr;
}

}  // namespace windlass::jinja
