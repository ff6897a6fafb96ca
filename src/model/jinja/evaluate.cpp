/// The interpreter's half for expressions.
#include "src/core/text.hpp"
#include "src/model/jinja/deeper.hpp"
#include "src/model/jinja/interpreter.hpp"
#include "src/model/jinja/print.hpp"

namespace windlass::jinja {

Value Interpreter::evaluate(Expression const& expression) {
  Deeper const deeper(*this);
  line_ = expression.line;
  spend(1);
  return std::visit([this](auto const& node) { return run(node); }, expression.node);
}

Value Interpreter::evaluate_or(ExpressionPtr const& expression, Value otherwise) {
  return expression ? evaluate(*expression) : std::move(otherwise);
}

Arguments Interpreter::evaluate(CallArguments const& arguments) {
  Arguments out;
  for (ExpressionPtr const& argument : arguments.positional) out.positional.push_back(evaluate(*argument));
  for (auto const& [name, argument] : arguments.named) out.named.emplace_back(name, evaluate(*argument));
  return out;
}

Value Interpreter::run(Name const& node) {
  if (Value const* found = scope_->find(node.name)) return *found;
  if (Value const* found = variables_.find(std::string_view(node.name))) return *found;
  if (auto function = global_function(node.name)) return *std::move(function);
  return Undefined{node.name};
}

Value Interpreter::run(Attribute const& node) { return attribute_of(*this, evaluate(*node.object), node.name); }

Value Interpreter::run(Item const& node) {
  Value const object = evaluate(*node.object);
  return item_of(*this, object, evaluate(*node.key));
}

Value Interpreter::run(Slice const& node) {
  Value const object = evaluate(*node.object);
  auto const bound = [this](ExpressionPtr const& expression) -> std::optional<std::int64_t> {
    Value const value = evaluate_or(expression, None{});
    if (value.is_none()) return std::nullopt;
    return to_integer(value, "an integer in a slice");
  };
  SliceBounds bounds;
  bounds.begin = bound(node.begin);
  bounds.end = bound(node.end);
  bounds.step = bound(node.step);
  return slice_of(*this, object, bounds);
}

Value Interpreter::run(Call const& node) {
  Value const function = evaluate(*node.function);
  Arguments const arguments = evaluate(node.arguments);
  return call(function, arguments);
}

Value Interpreter::run(Filter const& node) {
  Value const value = evaluate(*node.value);
  return filter(node.name, value, evaluate(node.arguments));
}

Value Interpreter::run(Test const& node) {
  Value const value = evaluate(*node.value);
  return test(node.name, value, evaluate(node.arguments));
}

Value Interpreter::run(Unary const& node) {
  Value const operand = evaluate(*node.operand);
  switch (node.operation) {
    case UnaryOperator::logical_not:
      return !truth(operand);
    case UnaryOperator::negative:
      return negative(operand);
    case UnaryOperator::positive:
      to_real(operand);
      return operand;
  }
  return {};
}

Value Interpreter::run(Binary const& node) {
  Value const left = evaluate(*node.left);
  if (node.operation == BinaryOperator::logical_and) return truth(left) ? evaluate(*node.right) : left;
  if (node.operation == BinaryOperator::logical_or) return truth(left) ? left : evaluate(*node.right);
  Value const right = evaluate(*node.right);
  switch (node.operation) {
    case BinaryOperator::add:
      return add(*this, left, right);
    case BinaryOperator::subtract:
      return subtract(left, right);
    case BinaryOperator::multiply:
      return multiply(*this, left, right);
    case BinaryOperator::divide:
      return divide(left, right);
    case BinaryOperator::floor_divide:
      return floor_divide(left, right);
    case BinaryOperator::modulo:
      return modulo(*this, left, right);
    case BinaryOperator::power:
      return power(left, right);
    case BinaryOperator::logical_and:
    case BinaryOperator::logical_or:
      break;
  }
  return {};
}

bool Interpreter::compare(Comparison comparison, Value const& left, Value const& right) {
  switch (comparison) {
    case Comparison::equal:
      return equal(left, right);
    case Comparison::not_equal:
      return !equal(left, right);
    case Comparison::less:
      return less(left, right);
    case Comparison::less_equal:
      return !less(right, left);
    case Comparison::greater:
      return less(right, left);
    case Comparison::greater_equal:
      return !less(left, right);
    case Comparison::in:
      return contains(*this, right, left);
    case Comparison::not_in:
      return !contains(*this, right, left);
  }
  return false;
}

Value Interpreter::run(Compare const& node) {
  Value left = evaluate(*node.first);
  for (auto const& [comparison, operand] : node.rest) {
    Value right = evaluate(*operand);
    if (!compare(comparison, left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Interpreter::run(Concatenation const& node) {
  std::string out;
  for (ExpressionPtr const& part : node.parts) {
    out += to_text(evaluate(*part));
    if (out.size() > max_text_bytes) throw Problem("'~' makes a text longer than 64 MiB");
  }
  return text(std::move(out));
}

Value Interpreter::run(Conditional const& node) {
  if (truth(evaluate(*node.condition))) return evaluate(*node.yes);
  return evaluate_or(node.no, Undefined{"the value of an 'if' without 'else'"});
}

Value Interpreter::run(ListLiteral const& node) {
  List list{{}, node.kind};
  for (ExpressionPtr const& item : node.items) list.items.push_back(evaluate(*item));
  return list;
}

Value Interpreter::run(DictLiteral const& node) {
  Dict dict;
  for (auto const& [key, value] : node.entries) {
    Value name = evaluate(*key);
    dict.set(std::move(name), evaluate(*value));
  }
  return dict;
}

Value Interpreter::call(Value const& function, Arguments const& arguments) {
  require_defined(function);
  Callable const* const callable = function.callable();
  if (!callable) throw Problem(windlass::text("'", type_name(function), "' object is not callable"));
  spend(1);
  return callable->call(*this, arguments);
}

Value Interpreter::filter(std::string_view name, Value const& value, Arguments const& arguments) {
  FilterFunction const function = find_filter(name);
  if (!function) throw Problem(windlass::text("the filter '", name, "' is not supported"));
  spend(1);
  return function(*this, value, arguments);
}

bool Interpreter::test(std::string_view name, Value const& value, Arguments const& arguments) {
  TestFunction const function = find_test(name);
  if (!function) throw Problem(windlass::text("the test '", name, "' is not supported"));
  spend(1);
  return function(*this, value, arguments);
}

}  // namespace windlass::jinja
