#include <algorithm>
#include <charconv>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/jinja/parser.hpp"
#include "src/model/jinja/runtime.hpp"

namespace windlass::jinja {

namespace {
/// Constructs inside one another; the tree also grows deeper with every link of a chain (a.b.c, a + b + c).
constexpr int max_nesting = 64;
constexpr int max_expression_depth = 200;

int depth_of(ExpressionPtr const& expression) { return expression ? expression->depth : 0; }

int depth_of(std::vector<ExpressionPtr> const& expressions) {
  int depth = 0;
  for (ExpressionPtr const& expression : expressions) depth = std::max(depth, depth_of(expression));
  return depth;
}

int depth_of(CallArguments const& arguments) {
  int depth = depth_of(arguments.positional);
  for (auto const& [name, expression] : arguments.named) depth = std::max(depth, depth_of(expression));
  return depth;
}

struct ChildDepth {
  int operator()(Literal const&) const { return 0; }
  int operator()(Name const&) const { return 0; }
  int operator()(Attribute const& n) const { return depth_of(n.object); }
  int operator()(Item const& n) const { return std::max(depth_of(n.object), depth_of(n.key)); }
  int operator()(Slice const& n) const {
    return std::max({depth_of(n.object), depth_of(n.begin), depth_of(n.end), depth_of(n.step)});
  }
  int operator()(Call const& n) const { return std::max(depth_of(n.function), depth_of(n.arguments)); }
  int operator()(Filter const& n) const { return std::max(depth_of(n.value), depth_of(n.arguments)); }
  int operator()(Test const& n) const { return std::max(depth_of(n.value), depth_of(n.arguments)); }
  int operator()(Unary const& n) const { return depth_of(n.operand); }
  int operator()(Binary const& n) const { return std::max(depth_of(n.left), depth_of(n.right)); }
  int operator()(Compare const& n) const {
    int depth = depth_of(n.first);
    for (auto const& [operation, operand] : n.rest) depth = std::max(depth, depth_of(operand));
    return depth;
  }
  int operator()(Concatenation const& n) const { return depth_of(n.parts); }
  int operator()(Conditional const& n) const {
    return std::max({depth_of(n.condition), depth_of(n.yes), depth_of(n.no)});
  }
  int operator()(ListLiteral const& n) const { return depth_of(n.items); }
  int operator()(DictLiteral const& n) const {
    int depth = 0;
    for (auto const& [key, value] : n.entries) depth = std::max({depth, depth_of(key), depth_of(value)});
    return depth;
  }
};
}  // namespace

template <class Node>
ExpressionPtr ExpressionParser::make(Node node) const {
  int const depth = 1 + ChildDepth{}(node);
  if (depth > max_expression_depth) fail(text("an expression is nested deeper than ", max_expression_depth));
  return std::make_unique<Expression const>(Expression{std::move(node), tokens_[at_ > 0 ? at_ - 1 : 0].line, depth});
}

void ExpressionParser::fail(std::string_view problem) const {
  throw InputError(text(name_, ": line ", token().line, ": ", problem));
}

ExpressionParser::Nested::Nested(ExpressionParser& parser) : parser_(parser) {
  if (++parser_.depth_ > max_nesting) parser_.fail(text("constructs are nested deeper than ", max_nesting));
}

bool ExpressionParser::take_symbol(std::string_view text) {
  if (!is_symbol(text)) return false;
  take();
  return true;
}

bool ExpressionParser::take_name(std::string_view text) {
  if (!is_name(text)) return false;
  take();
  return true;
}

void ExpressionParser::expect_symbol(std::string_view text) {
  if (!take_symbol(text)) fail(windlass::text("'", text, "' is expected, not '", token().text, "'"));
}

void ExpressionParser::expect_name(std::string_view text) {
  if (!take_name(text)) fail(windlass::text("'", text, "' is expected, not '", token().text, "'"));
}

std::string ExpressionParser::expect_any_name() {
  if (token().kind != TokenKind::name) fail(text("a name is expected, not '", token().text, "'"));
  return take().text;
}

ExpressionPtr ExpressionParser::expression(Conditions conditions) {
  Nested const nested(*this);
  if (conditions == Conditions::not_allowed) return logical_or();
  ExpressionPtr value = logical_or();
  while (take_name("if")) {
    ExpressionPtr condition = logical_or();
    ExpressionPtr otherwise = take_name("else") ? expression() : nullptr;
    value = make(Conditional{std::move(condition), std::move(value), std::move(otherwise)});
  }
  return value;
}

ExpressionPtr ExpressionParser::tuple(Conditions conditions) {
  ExpressionPtr first = expression(conditions);
  if (!is_symbol(",")) return first;
  ListLiteral list{{}, ListKind::tuple};
  list.items.push_back(std::move(first));
  while (take_symbol(",")) {
    bool const ends = token().kind == TokenKind::block_end || token().kind == TokenKind::variable_end || is_symbol(")");
    if (ends) break;
    list.items.push_back(expression(conditions));
  }
  return make(std::move(list));
}

ExpressionPtr ExpressionParser::left_associative(Level next, std::vector<Operation> const& operations) {
  ExpressionPtr left = (this->*next)();
  for (;;) {
    Operation const* found = nullptr;
    for (Operation const& operation : operations)
      if (is_symbol(operation.symbol)) found = &operation;
    if (!found) return left;
    take();
    ExpressionPtr right = (this->*next)();
    left = make(Binary{found->operation, std::move(left), std::move(right)});
  }
}

ExpressionPtr ExpressionParser::logical_or() {
  ExpressionPtr left = logical_and();
  while (take_name("or")) {
    ExpressionPtr right = logical_and();
    left = make(Binary{BinaryOperator::logical_or, std::move(left), std::move(right)});
  }
  return left;
}

ExpressionPtr ExpressionParser::logical_and() {
  ExpressionPtr left = logical_not();
  while (take_name("and")) {
    ExpressionPtr right = logical_not();
    left = make(Binary{BinaryOperator::logical_and, std::move(left), std::move(right)});
  }
  return left;
}

ExpressionPtr ExpressionParser::logical_not() {
  if (!take_name("not")) return comparison();
  Nested const nested(*this);
  return make(Unary{UnaryOperator::logical_not, logical_not()});
}

bool ExpressionParser::comparison_operator(Comparison& out) {
  constexpr std::pair<std::string_view, Comparison> symbols[] = {
      {"==", Comparison::equal},      {"!=", Comparison::not_equal}, {"<", Comparison::less},
      {"<=", Comparison::less_equal}, {">", Comparison::greater},    {">=", Comparison::greater_equal}};
  for (auto const& [symbol, comparison] : symbols) {
    if (!take_symbol(symbol)) continue;
    out = comparison;
    return true;
  }
  if (take_name("in")) {
    out = Comparison::in;
    return true;
  }
  if (!is_name("not") || peek().kind != TokenKind::name || peek().text != "in") return false;
  take();
  take();
  out = Comparison::not_in;
  return true;
}

ExpressionPtr ExpressionParser::comparison() {
  ExpressionPtr first = sum();
  Compare compare;
  Comparison operation;
  while (comparison_operator(operation)) compare.rest.emplace_back(operation, sum());
  if (compare.rest.empty()) return first;
  compare.first = std::move(first);
  return make(std::move(compare));
}

ExpressionPtr ExpressionParser::sum() {
  return left_associative(&ExpressionParser::concatenation,
                          {{"+", BinaryOperator::add}, {"-", BinaryOperator::subtract}});
}

ExpressionPtr ExpressionParser::concatenation() {
  ExpressionPtr first = product();
  if (!is_symbol("~")) return first;
  Concatenation parts;
  parts.parts.push_back(std::move(first));
  while (take_symbol("~")) parts.parts.push_back(product());
  return make(std::move(parts));
}

ExpressionPtr ExpressionParser::product() {
  return left_associative(&ExpressionParser::power, {{"*", BinaryOperator::multiply},
                                                     {"/", BinaryOperator::divide},
                                                     {"//", BinaryOperator::floor_divide},
                                                     {"%", BinaryOperator::modulo}});
}

ExpressionPtr ExpressionParser::power() {
  return left_associative(&ExpressionParser::unary, {{"**", BinaryOperator::power}});
}

ExpressionPtr ExpressionParser::unary() { return filters_and_tests(signed_operand()); }

/// A sign binds tighter than a filter: -1|abs is (-1)|abs.
ExpressionPtr ExpressionParser::signed_operand() {
  Nested const nested(*this);
  if (take_symbol("-")) return make(Unary{UnaryOperator::negative, signed_operand()});
  if (take_symbol("+")) return make(Unary{UnaryOperator::positive, signed_operand()});
  return postfix(primary());
}

ExpressionPtr ExpressionParser::primary() {
  switch (token().kind) {
    case TokenKind::name:
      return named_value();
    case TokenKind::string:
      return string_literal();
    case TokenKind::integer:
    case TokenKind::real:
      return number_literal();
    case TokenKind::symbol:
      if (is_symbol("(")) return parenthesized();
      if (is_symbol("[")) return list_literal();
      if (is_symbol("{")) return dict_literal();
      fail(text("a value is expected, not '", token().text, "'"));
    case TokenKind::data:
    case TokenKind::variable_begin:
    case TokenKind::variable_end:
    case TokenKind::block_begin:
    case TokenKind::block_end:
    case TokenKind::end:
      fail("a value is expected before the tag ends");
  }
  fail("a value is expected");
}

ExpressionPtr ExpressionParser::named_value() {
  std::string const name = take().text;
  if (name == "true" || name == "True") return make(Literal{true});
  if (name == "false" || name == "False") return make(Literal{false});
  if (name == "none" || name == "None") return make(Literal{None{}});
  return make(Name{name});
}

ExpressionPtr ExpressionParser::string_literal() {
  std::string content;
  while (token().kind == TokenKind::string) content += take().text;
  return make(Literal{std::move(content)});
}

ExpressionPtr ExpressionParser::number_literal() {
  Token const number = take();
  char const* const begin = number.text.data();
  char const* const end = begin + number.text.size();
  if (number.kind == TokenKind::real) {
    double real = 0;
    if (std::from_chars(begin, end, real).ec != std::errc{}) fail(text("the number ", number.text, " is out of range"));
    return make(Literal{real});
  }
  std::int64_t integer = 0;
  if (std::from_chars(begin, end, integer).ec != std::errc{})
    fail(text("the number ", number.text, " is larger than 64 bits hold"));
  return make(Literal{integer});
}

ExpressionPtr ExpressionParser::parenthesized() {
  take();
  if (take_symbol(")")) return make(ListLiteral{{}, ListKind::tuple});
  ExpressionPtr inside = tuple();
  expect_symbol(")");
  return inside;
}

ExpressionPtr ExpressionParser::list_literal() {
  take();
  ListLiteral list;
  while (!is_symbol("]")) {
    list.items.push_back(expression());
    if (!take_symbol(",")) break;
  }
  expect_symbol("]");
  return make(std::move(list));
}

ExpressionPtr ExpressionParser::dict_literal() {
  take();
  DictLiteral dict;
  while (!is_symbol("}")) {
    ExpressionPtr key = expression();
    expect_symbol(":");
    dict.entries.emplace_back(std::move(key), expression());
    if (!take_symbol(",")) break;
  }
  expect_symbol("}");
  return make(std::move(dict));
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr object) {
  for (;;) {
    if (take_symbol(".")) {
      object = attribute(std::move(object));
    } else if (take_symbol("[")) {
      object = subscript(std::move(object));
    } else if (is_symbol("(")) {
      CallArguments arguments = call_arguments();
      object = make(Call{std::move(object), std::move(arguments)});
    } else {
      return object;
    }
  }
}

ExpressionPtr ExpressionParser::attribute(ExpressionPtr object) {
  if (token().kind == TokenKind::integer) {
    ExpressionPtr key = number_literal();
    return make(Item{std::move(object), std::move(key)});
  }
  return make(Attribute{std::move(object), expect_any_name()});
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr object) {
  ExpressionPtr parts[3];
  int colons = 0;
  while (!is_symbol("]")) {
    if (is_symbol(":")) {
      if (++colons > 2) fail("a slice has more than two colons");
      take();
    } else {
      if (parts[colons]) fail(text("']' is expected, not '", token().text, "'"));
      parts[colons] = expression();
    }
  }
  take();
  if (colons > 0) return make(Slice{std::move(object), std::move(parts[0]), std::move(parts[1]), std::move(parts[2])});
  if (!parts[0]) fail("[] without an index");
  return make(Item{std::move(object), std::move(parts[0])});
}

CallArguments ExpressionParser::call_arguments() {
  expect_symbol("(");
  CallArguments arguments;
  while (!is_symbol(")")) {
    if (is_symbol("*") || is_symbol("**")) fail("'*' before an argument is not supported");
    bool const named = token().kind == TokenKind::name && peek().kind == TokenKind::symbol && peek().text == "=";
    if (named) {
      std::string name = take().text;
      take();
      arguments.named.emplace_back(std::move(name), expression());
    } else {
      if (!arguments.named.empty()) fail("an argument without a name follows one with a name");
      arguments.positional.push_back(expression());
    }
    if (!take_symbol(",")) break;
  }
  expect_symbol(")");
  return arguments;
}

bool ExpressionParser::is_conditional() const {
  if (branches_ > 0) return true;
  for (std::size_t i = at_; i < tokens_.size(); ++i) {
    if (tokens_[i].kind == TokenKind::block_end || tokens_[i].kind == TokenKind::variable_end) return false;
    if (tokens_[i].kind == TokenKind::name && tokens_[i].text == "if") return true;
  }
  return false;
}

Filter ExpressionParser::filter(ExpressionPtr value) {
  Filter filter{std::move(value), expect_any_name(), {}};
  if (!find_filter(filter.name) && !is_conditional()) fail(text("the filter '", filter.name, "' is not supported"));
  if (is_symbol("(")) filter.arguments = call_arguments();
  return filter;
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr value) {
  for (;;) {
    if (take_symbol("|")) {
      value = make(filter(std::move(value)));
    } else if (take_name("is")) {
      value = test(std::move(value));
    } else if (is_symbol("(")) {
      CallArguments arguments = call_arguments();
      value = make(Call{std::move(value), std::move(arguments)});
    } else {
      return value;
    }
  }
}

/// A test's only argument may stand without parentheses: x is divisibleby 3.
bool ExpressionParser::begins_test_argument() const {
  switch (token().kind) {
    case TokenKind::name:
      return !is_name("else") && !is_name("or") && !is_name("and") && !is_name("if") && !is_name("is");
    case TokenKind::string:
    case TokenKind::integer:
    case TokenKind::real:
      return true;
    case TokenKind::symbol:
      return is_symbol("[") || is_symbol("{");
    case TokenKind::data:
    case TokenKind::variable_begin:
    case TokenKind::variable_end:
    case TokenKind::block_begin:
    case TokenKind::block_end:
    case TokenKind::end:
      return false;
  }
  return false;
}

ExpressionPtr ExpressionParser::test(ExpressionPtr value) {
  bool const negated = take_name("not");
  Test test{std::move(value), expect_any_name(), {}};
  if (!find_test(test.name) && !is_conditional()) fail(text("the test '", test.name, "' is not supported"));
  if (is_symbol("(")) {
    test.arguments = call_arguments();
  } else if (begins_test_argument()) {
    test.arguments.positional.push_back(postfix(primary()));
  }
  ExpressionPtr result = make(std::move(test));
  return negated ? make(Unary{UnaryOperator::logical_not, std::move(result)}) : std::move(result);
}

Target ExpressionParser::single_target() {
  Nested const nested(*this);
  if (take_symbol("(")) {
    Target inside = target();
    expect_symbol(")");
    return inside;
  }
  Target single;
  single.name = expect_any_name();
  if (take_symbol(".")) single.field = expect_any_name();
  return single;
}

Target ExpressionParser::target() {
  Target first = single_target();
  if (!is_symbol(",")) return first;
  Target all;
  all.parts.push_back(std::move(first));
  while (take_symbol(","))
    if (token().kind == TokenKind::name || is_symbol("(")) all.parts.push_back(single_target());
  return all;
}

}  // namespace windlass::jinja
