/// A parsed template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "src/model/jinja/value.hpp"

namespace windlass::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression const>;

struct Literal {
  Value value;
};
struct Name {
  std::string name;
};
struct Attribute {  ///< object.name
  ExpressionPtr object;
  std::string name;
};
struct Item {  ///< object[key]
  ExpressionPtr object, key;
};
struct Slice {  ///< object[begin:end:step]; null: left out
  ExpressionPtr object, begin, end, step;
};
struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
};
struct Call {
  ExpressionPtr function;
  CallArguments arguments;
};
struct Filter {  ///< value | name(arguments); value is null in a filter block
  ExpressionPtr value;
  std::string name;
  CallArguments arguments;
};
struct Test {  ///< value is name(arguments)
  ExpressionPtr value;
  std::string name;
  CallArguments arguments;
};
enum class UnaryOperator : unsigned char { negative, positive, logical_not };
struct Unary {
  UnaryOperator operation;
  ExpressionPtr operand;
};
enum class BinaryOperator : unsigned char {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  modulo,
  power,
  logical_and,
  logical_or
};
struct Binary {
  BinaryOperator operation;
  ExpressionPtr left, right;
};
enum class Comparison : unsigned char { equal, not_equal, less, less_equal, greater, greater_equal, in, not_in };
struct Compare {  ///< first op1 second op2 third …
  ExpressionPtr first;
  std::vector<std::pair<Comparison, ExpressionPtr>> rest;
};
struct Concatenation {  ///< a ~ b ~ …
  std::vector<ExpressionPtr> parts;
};
struct Conditional {  ///< yes if condition else no; no may be null
  ExpressionPtr condition, yes, no;
};
struct ListLiteral {
  std::vector<ExpressionPtr> items;
  ListKind kind = ListKind::list;
};
struct DictLiteral {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};

struct Expression {
  std::variant<Literal, Name, Attribute, Item, Slice, Call, Filter, Test, Unary, Binary, Compare, Concatenation,
               Conditional, ListLiteral, DictLiteral>
      node;
  int line = 0;
  int depth = 1;  ///< of the tree
};

struct Statement;
using Body = std::vector<std::unique_ptr<Statement const>>;

/// What a value is assigned to: a name, a namespace's field, or several of them.
struct Target {
  std::vector<Target> parts;  ///< empty: one name
  std::string name;
  std::string field;  ///< of the namespace `name`; empty: the name itself
};

struct Data {
  std::string text;
};
struct Output {
  ExpressionPtr value;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  Body otherwise;
};
struct For {
  Target target;
  ExpressionPtr iterable, condition;  ///< condition may be null
  Body body, otherwise;
};
struct Set {
  Target target;
  ExpressionPtr value;
};
struct SetBlock {
  Target target;
  std::vector<Filter> filters;
  Body body;
};
struct Macro {
  std::string name;
  std::vector<std::pair<std::string, ExpressionPtr>> parameters;  ///< and defaults, which may be null
  Body body;
};
struct CallBlock {  ///< calls `call` with the body as caller()
  Macro caller;
  ExpressionPtr call;
};
struct FilterBlock {
  std::vector<Filter> filters;
  Body body;
};
struct With {
  std::vector<std::pair<Target, ExpressionPtr>> assignments;
  Body body;
};
struct Generation {  ///< marks what the model said; the text is the same
  Body body;
};
struct Break {};
struct Continue {};

struct Statement {
  std::variant<Data, Output, If, For, Set, SetBlock, Macro, CallBlock, FilterBlock, With, Generation, Break, Continue>
      node;
  int line = 0;
};

}  // namespace windlass::jinja
