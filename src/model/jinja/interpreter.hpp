/// Runs a parsed template.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "src/model/jinja/ast.hpp"
#include "src/model/jinja/runtime.hpp"

namespace windlass::jinja {

/// Bounds on what a template may use, so that a hostile one ends with an error. A conversation of 1,000 messages under
/// the longest templates in use spends about 2 % of the work.
constexpr std::size_t max_work = 50'000'000;
constexpr int max_evaluation_depth = 600;  ///< expressions, statements and macros inside one another

/// The text that `body` makes of `variables`. Throws InputError: the template's own raise_exception message, or
/// "NAME: line N: …".
std::string render(Body const& body, std::string const& name, Dict const& variables);

/// Names of one block; a chain of them up to the template's variables.
struct Scope {
  Scope const* parent = nullptr;
  std::vector<std::pair<std::string_view, Value>> names;  ///< views into the template

  void set(std::string_view name, Value value);
  Value const* find(std::string_view name) const;
};

class Interpreter final : public Runtime {
 public:
  explicit Interpreter(Dict const& variables) : variables_(variables) {}

  std::string run(Body const& body);
  int line() const { return line_; }

  void spend(std::size_t work) override;
  Value call(Value const& function, Arguments const& arguments) override;
  Value filter(std::string_view name, Value const& value, Arguments const& arguments) override;
  bool test(std::string_view name, Value const& value, Arguments const& arguments) override;
  Namespace* new_namespace() override;

 private:
  enum class Flow : unsigned char { next, leave_loop, next_round };
  class Deeper;

  Value evaluate(Expression const& expression);
  Value evaluate_or(ExpressionPtr const& expression, Value otherwise);
  Arguments evaluate(CallArguments const& arguments);
  Value run(Literal const& node) { return node.value; }
  Value run(Name const& node);
  Value run(Attribute const& node);
  Value run(Item const& node);
  Value run(Slice const& node);
  Value run(Call const& node);
  Value run(Filter const& node);
  Value run(Test const& node);
  Value run(Unary const& node);
  Value run(Binary const& node);
  Value run(Compare const& node);
  Value run(Concatenation const& node);
  Value run(Conditional const& node);
  Value run(ListLiteral const& node);
  Value run(DictLiteral const& node);
  bool compare(Comparison comparison, Value const& left, Value const& right);

  Flow execute(Body const& body);
  Flow run(Data const& node);
  Flow run(Output const& node);
  Flow run(If const& node);
  Flow run(For const& node);
  Flow run(Set const& node);
  Flow run(SetBlock const& node);
  Flow run(Macro const& node);
  Flow run(CallBlock const& node);
  Flow run(FilterBlock const& node);
  Flow run(With const& node);
  Flow run(Generation const& node) { return execute(node.body); }
  Flow run(Break const&) { return Flow::leave_loop; }
  Flow run(Continue const&) { return Flow::next_round; }

  void write(std::string_view text);
  std::string capture(Body const& body);
  Value apply(std::vector<Filter> const& filters, Value value);
  void assign(Target const& target, Value value);
  std::vector<Value> loop_items(For const& node);
  Value macro_value(Macro const& node);
  Value call_macro(Macro const& node, Scope const* home, Arguments const& arguments);
  void bind(Macro const& node, Arguments const& arguments);

  Dict const& variables_;
  Scope root_;
  Scope* scope_ = &root_;
  std::deque<Namespace> namespaces_;
  std::string* out_ = nullptr;
  std::size_t work_ = 0;
  int depth_ = 0;
  int line_ = 0;
};

}  // namespace windlass::jinja
