/// The interpreter's half for statements.
#include "src/model/jinja/interpreter.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/jinja/deeper.hpp"
#include "src/model/jinja/print.hpp"

namespace windlass::jinja {

void Scope::set(std::string_view name, Value value) {
  for (auto& [held, old] : names) {
    if (held != name) continue;
    old = std::move(value);
    return;
  }
  names.emplace_back(name, std::move(value));
}

Value const* Scope::find(std::string_view name) const {
  for (Scope const* scope = this; scope; scope = scope->parent)
    for (auto const& [held, value] : scope->names)
      if (held == name) return &value;
  return nullptr;
}

namespace {
/// Opens a block of names inside the current one.
class InnerScope {
 public:
  InnerScope(Scope*& current, Scope const* parent) : current_(current), outer_(current) {
    scope_.parent = parent;
    current_ = &scope_;
  }
  ~InnerScope() { current_ = outer_; }
  InnerScope(InnerScope const&) = delete;
  InnerScope& operator=(InnerScope const&) = delete;

  void clear() { scope_.names.clear(); }

 private:
  Scope scope_;
  Scope*& current_;
  Scope* outer_;
};
}  // namespace

std::string Interpreter::run(Body const& body) { return capture(body); }

void Interpreter::spend(std::size_t work) {
  if (work > max_work - work_) throw Problem("the template does more work than any conversation needs; does it loop?");
  work_ += work;
}

Namespace* Interpreter::new_namespace() {
  spend(16);
  return &namespaces_.emplace_back();
}

void Interpreter::write(std::string_view text) {
  if (out_->size() + text.size() > max_text_bytes) throw Problem("the text made is longer than 64 MiB");
  spend(text.size() / 16);
  *out_ += text;
}

std::string Interpreter::capture(Body const& body) {
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  try {
    execute(body);
  } catch (...) {
    out_ = outer;
    throw;
  }
  out_ = outer;
  return text;
}

Interpreter::Flow Interpreter::execute(Body const& body) {
  Deeper const deeper(*this);
  for (auto const& statement : body) {
    line_ = statement->line;
    spend(1);
    Flow const flow = std::visit([this](auto const& node) { return run(node); }, statement->node);
    if (flow != Flow::next) return flow;
  }
  return Flow::next;
}

Interpreter::Flow Interpreter::run(Data const& node) {
  write(node.text);
  return Flow::next;
}

Interpreter::Flow Interpreter::run(Output const& node) {
  Value const value = evaluate(*node.value);
  if (auto const* content = value.text()) {
    write(*content);
  } else {
    write(to_text(value));
  }
  return Flow::next;
}

Interpreter::Flow Interpreter::run(If const& node) {
  for (auto const& [condition, body] : node.branches)
    if (truth(evaluate(*condition))) return execute(body);
  return execute(node.otherwise);
}

/// The items that pass the loop's condition, which sees the loop's names but not `loop`.
std::vector<Value> Interpreter::loop_items(For const& node) {
  Value const iterable = evaluate(*node.iterable);
  std::vector<Value> items = iterate(*this, iterable);
  if (!node.condition) return items;
  std::vector<Value> kept;
  InnerScope inner(scope_, scope_);
  for (Value& item : items) {
    inner.clear();
    assign(node.target, item);
    if (truth(evaluate(*node.condition))) kept.push_back(std::move(item));
  }
  return kept;
}

Interpreter::Flow Interpreter::run(For const& node) {
  auto loop = std::make_shared<Loop>();
  loop->items = loop_items(node);
  if (loop->items.empty()) return execute(node.otherwise);
  InnerScope inner(scope_, scope_);
  for (std::size_t i = 0; i < loop->items.size(); ++i) {
    inner.clear();
    loop->index0 = i;
    scope_->set("loop", loop);
    assign(node.target, loop->items[i]);
    if (execute(node.body) == Flow::leave_loop) break;
  }
  return Flow::next;
}

void Interpreter::assign(Target const& target, Value value) {
  if (target.parts.empty() && target.field.empty()) return scope_->set(target.name, std::move(value));
  if (target.parts.empty()) {
    Value const* const owner = scope_->find(target.name);
    if (!owner || !owner->name_space())
      throw Problem(windlass::text("'", target.name, "' is no namespace: only a namespace's fields can be set"));
    return owner->name_space()->set(target.field, std::move(value));
  }
  std::vector<Value> const values = iterate(*this, value);
  if (values.size() != target.parts.size())
    throw Problem(windlass::text(values.size(), " values cannot be given to ", target.parts.size(), " names"));
  for (std::size_t i = 0; i < values.size(); ++i) assign(target.parts[i], values[i]);
}

Interpreter::Flow Interpreter::run(Set const& node) {
  assign(node.target, evaluate(*node.value));
  return Flow::next;
}

Value Interpreter::apply(std::vector<Filter> const& filters, Value value) {
  for (Filter const& one : filters) value = filter(one.name, value, evaluate(one.arguments));
  return value;
}

Interpreter::Flow Interpreter::run(SetBlock const& node) {
  std::string made;
  {
    InnerScope const inner(scope_, scope_);
    made = capture(node.body);
  }
  assign(node.target, apply(node.filters, text(std::move(made))));
  return Flow::next;
}

Interpreter::Flow Interpreter::run(FilterBlock const& node) {
  std::string made;
  {
    InnerScope const inner(scope_, scope_);
    made = capture(node.body);
  }
  write(to_text(apply(node.filters, text(std::move(made)))));
  return Flow::next;
}

Interpreter::Flow Interpreter::run(With const& node) {
  std::vector<Value> values;
  for (auto const& [target, value] : node.assignments) values.push_back(evaluate(*value));
  InnerScope const inner(scope_, scope_);
  for (std::size_t i = 0; i < values.size(); ++i) assign(node.assignments[i].first, values[i]);
  return execute(node.body);
}

Value Interpreter::macro_value(Macro const& node) {
  Scope const* const home = scope_;
  return Callable{node.name, [this, &node, home](Runtime&, Arguments const& arguments) {
                    return call_macro(node, home, arguments);
                  }};
}

Interpreter::Flow Interpreter::run(Macro const& node) {
  scope_->set(node.name, macro_value(node));
  return Flow::next;
}

Interpreter::Flow Interpreter::run(CallBlock const& node) {
  auto const& call_node = std::get<Call>(node.call->node);
  Value const function = evaluate(*call_node.function);
  Arguments arguments = evaluate(call_node.arguments);
  arguments.named.emplace_back("caller", macro_value(node.caller));
  write(to_text(call(function, arguments)));
  return Flow::next;
}

/// Gives the parameters their values, in the macro's own scope.
void Interpreter::bind(Macro const& node, Arguments const& arguments) {
  if (arguments.positional.size() > node.parameters.size())
    throw Problem(windlass::text("the macro '", node.name, "' takes at most ", node.parameters.size(), " arguments"));
  std::vector<bool> given(node.parameters.size());
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    scope_->set(node.parameters[i].first, arguments.positional[i]);
    given[i] = true;
  }
  for (auto const& [name, value] : arguments.named) {
    auto const at = std::find_if(node.parameters.begin(), node.parameters.end(),
                                 [&, wanted = std::string_view(name)](auto const& p) { return p.first == wanted; });
    if (at == node.parameters.end() && name != "caller")
      throw Problem(windlass::text("the macro '", node.name, "' has no parameter '", name, "'"));
    if (at == node.parameters.end()) {
      scope_->set("caller", value);
      continue;
    }
    scope_->set(at->first, value);
    given[std::size_t(at - node.parameters.begin())] = true;
  }
  for (std::size_t i = 0; i < node.parameters.size(); ++i) {
    auto const& [name, otherwise] = node.parameters[i];
    if (!given[i]) scope_->set(name, evaluate_or(otherwise, Undefined{name}));
  }
}

Value Interpreter::call_macro(Macro const& node, Scope const* home, Arguments const& arguments) {
  Deeper const deeper(*this);
  bool alive = home == &root_;
  for (Scope const* scope = scope_; scope && !alive; scope = scope->parent) alive = scope == home;
  if (!alive) throw Problem(windlass::text("the macro '", node.name, "' is called outside of the block that made it"));
  int const line = line_;
  InnerScope const inner(scope_, home);
  bind(node, arguments);
  Value made = text(capture(node.body));
  line_ = line;
  return made;
}

std::string render(Body const& body, std::string const& name, Dict const& variables) {
  Interpreter interpreter(variables);
  try {
    return interpreter.run(body);
  } catch (Raised const& raised) {
    throw InputError(raised.what());
  } catch (Problem const& problem) {
    throw InputError(windlass::text(name, ": line ", interpreter.line(), ": ", problem.what()));
  }
}

}  // namespace windlass::jinja
