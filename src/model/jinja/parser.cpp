#include "src/model/jinja/parser.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass::jinja {

namespace {
constexpr int max_parameters = 64;

class Parser : public ExpressionParser {
 public:
  Parser(std::vector<Token> tokens, std::string const& name) : ExpressionParser(std::move(tokens), name) {}

  Body run() {
    Body body = this->body({});
    if (token().kind != TokenKind::end) fail(text("{% ", token().text, " %} has no beginning"));
    return body;
  }

 private:
  /// Statements up to one of the tags `ends`, whose name is the current token then; or up to the end.
  Body body(std::vector<std::string_view> const& ends) {
    branches_ += ends.empty() ? 0 : 1;
    Body inside = statements(ends);
    branches_ -= ends.empty() ? 0 : 1;
    return inside;
  }

  Body statements(std::vector<std::string_view> const& ends) {
    Body body;
    for (;;) {
      switch (token().kind) {
        case TokenKind::data:
          body.push_back(make_statement(Data{token().text}));
          take();
          break;
        case TokenKind::variable_begin:
          body.push_back(output());
          break;
        case TokenKind::block_begin:
          take();
          if (std::any_of(ends.begin(), ends.end(), [this](std::string_view end) { return is_name(end); })) return body;
          body.push_back(statement());
          break;
        case TokenKind::end:
          if (!ends.empty()) fail(text("the template ends before {% ", ends.back(), " %}"));
          return body;
        case TokenKind::variable_end:
        case TokenKind::block_end:
        case TokenKind::name:
        case TokenKind::string:
        case TokenKind::integer:
        case TokenKind::real:
        case TokenKind::symbol:
          fail(text("'", token().text, "' is not expected"));
      }
    }
  }

  /// The body of a tag, and its end tag.
  Body body_until(std::string_view end) {
    end_tag();
    Body inside = body({end});
    expect_name(end);
    end_tag();
    return inside;
  }

  template <class Node>
  std::unique_ptr<Statement const> make_statement(Node node) {
    return std::make_unique<Statement const>(Statement{std::move(node), line_});
  }

  void end_tag() {
    if (token().kind != TokenKind::block_end) fail(text("'%}' is expected, not '", token().text, "'"));
    take();
  }

  std::unique_ptr<Statement const> output() {
    line_ = take().line;
    ExpressionPtr value = tuple();
    if (token().kind != TokenKind::variable_end) fail(text("'}}' is expected, not '", token().text, "'"));
    take();
    return make_statement(Output{std::move(value)});
  }

  std::unique_ptr<Statement const> statement() {
    Nested const nested(*this);
    int const line = token().line;
    line_ = line;
    std::string const tag = expect_any_name();
    auto made = statement_of(tag);
    return made;
  }

  std::unique_ptr<Statement const> statement_of(std::string const& tag) {
    if (tag == "if") return if_statement();
    if (tag == "for") return for_statement();
    if (tag == "set") return set_statement();
    if (tag == "macro") return macro_statement();
    if (tag == "call") return call_statement();
    if (tag == "filter") return filter_statement();
    if (tag == "with") return with_statement();
    if (tag == "generation") return at_line([&] { return Generation{body_until("endgeneration")}; });
    if (tag == "break" || tag == "continue") return loop_control(tag);
    fail(text("the tag {% ", tag, " %} is not supported"));
  }

  /// Makes the statement at the line where its tag began.
  template <class Make>
  std::unique_ptr<Statement const> at_line(Make const& make) {
    int const line = line_;
    auto node = make();
    line_ = line;
    return make_statement(std::move(node));
  }

  std::unique_ptr<Statement const> if_statement() {
    return at_line([&] {
      If statement;
      for (bool more = true; more;) {
        ExpressionPtr condition = tuple();
        end_tag();
        statement.branches.emplace_back(std::move(condition), body({"elif", "else", "endif"}));
        more = take_name("elif");
      }
      if (take_name("else")) {
        end_tag();
        statement.otherwise = body({"endif"});
      }
      expect_name("endif");
      end_tag();
      return statement;
    });
  }

  std::unique_ptr<Statement const> for_statement() {
    return at_line([&] {
      For statement;
      statement.target = target();
      expect_name("in");
      statement.iterable = tuple(Conditions::not_allowed);
      if (take_name("if")) statement.condition = expression();
      if (is_name("recursive")) fail("{% for … recursive %} is not supported");
      end_tag();
      ++loops_;
      statement.body = body({"else", "endfor"});
      --loops_;
      if (take_name("else")) {
        end_tag();
        statement.otherwise = body({"endfor"});
      }
      expect_name("endfor");
      end_tag();
      return statement;
    });
  }

  std::unique_ptr<Statement const> loop_control(std::string const& tag) {
    if (loops_ == 0) fail(text("{% ", tag, " %} outside of a loop"));
    end_tag();
    return tag == "break" ? make_statement(Break{}) : make_statement(Continue{});
  }

  std::unique_ptr<Statement const> set_statement() {
    int const line = line_;
    Target names = target();
    if (take_symbol("=")) {
      Set set{std::move(names), tuple()};
      end_tag();
      line_ = line;
      return make_statement(std::move(set));
    }
    SetBlock block{std::move(names), {}, {}};
    while (take_symbol("|")) block.filters.push_back(filter(nullptr));
    block.body = body_until("endset");
    line_ = line;
    return make_statement(std::move(block));
  }

  /// (a, b=1): names and defaults.
  void parameters(Macro& macro) {
    expect_symbol("(");
    while (!is_symbol(")")) {
      std::string name = expect_any_name();
      ExpressionPtr otherwise = take_symbol("=") ? expression() : nullptr;
      if (!otherwise && !macro.parameters.empty() && macro.parameters.back().second)
        fail(text("the parameter '", name, "' has no default and follows one that has"));
      macro.parameters.emplace_back(std::move(name), std::move(otherwise));
      if (macro.parameters.size() > max_parameters) fail(text("a macro has more than ", max_parameters, " parameters"));
      if (!take_symbol(",")) break;
    }
    expect_symbol(")");
  }

  /// A macro's body is no part of the loop around it: break cannot leave it.
  Body macro_body(std::string_view end) {
    int const loops = std::exchange(loops_, 0);
    Body inside = body_until(end);
    loops_ = loops;
    return inside;
  }

  std::unique_ptr<Statement const> macro_statement() {
    return at_line([&] {
      Macro macro;
      macro.name = expect_any_name();
      parameters(macro);
      macro.body = macro_body("endmacro");
      return macro;
    });
  }

  std::unique_ptr<Statement const> call_statement() {
    return at_line([&] {
      CallBlock block;
      block.caller.name = "caller";
      if (is_symbol("(")) parameters(block.caller);
      block.call = expression();
      if (!std::holds_alternative<Call>(block.call->node)) fail("{% call %} without a call");
      block.caller.body = macro_body("endcall");
      return block;
    });
  }

  std::unique_ptr<Statement const> filter_statement() {
    return at_line([&] {
      FilterBlock block;
      do block.filters.push_back(filter(nullptr));
      while (take_symbol("|"));
      block.body = body_until("endfilter");
      return block;
    });
  }

  std::unique_ptr<Statement const> with_statement() {
    return at_line([&] {
      With with;
      while (token().kind != TokenKind::block_end) {
        Target names = target_without_comma();
        expect_symbol("=");
        with.assignments.emplace_back(std::move(names), expression());
        if (!take_symbol(",")) break;
      }
      with.body = body_until("endwith");
      return with;
    });
  }

  Target target_without_comma() {
    Target single;
    single.name = expect_any_name();
    return single;
  }

  int line_ = 1;   ///< of the tag that is being read
  int loops_ = 0;  ///< around it
};
}  // namespace

Body parse(std::vector<Token> tokens, std::string const& name) { return Parser(std::move(tokens), name).run(); }

}  // namespace windlass::jinja
