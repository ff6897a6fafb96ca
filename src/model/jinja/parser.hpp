/// From tokens to a parsed template.
#pragma once

#include <string>
#include <vector>

#include "src/model/jinja/ast.hpp"
#include "src/model/jinja/lexer.hpp"

namespace windlass::jinja {

/// Throws InputError "NAME: line N: …" naming the construct that is wrong or not supported.
Body parse(std::vector<Token> tokens, std::string const& name);

/// The tokens and the grammar of expressions; the parser of statements derives from it.
class ExpressionParser {
 protected:
  ExpressionParser(std::vector<Token> tokens, std::string const& name) : tokens_(std::move(tokens)), name_(name) {}

  [[noreturn]] void fail(std::string_view problem) const;

  Token const& token() const { return tokens_[at_]; }
  Token const& peek() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
  Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool is_symbol(std::string_view text) const { return token().kind == TokenKind::symbol && token().text == text; }
  bool is_name(std::string_view text) const { return token().kind == TokenKind::name && token().text == text; }
  bool take_symbol(std::string_view text);
  bool take_name(std::string_view text);
  void expect_symbol(std::string_view text);
  void expect_name(std::string_view text);
  std::string expect_any_name();

  /// Whether `a if b else c` is read, or stops before the `if`.
  enum class Conditions : unsigned char { allowed, not_allowed };
  ExpressionPtr expression(Conditions conditions = Conditions::allowed);
  /// One expression, or several with commas: a tuple.
  ExpressionPtr tuple(Conditions conditions = Conditions::allowed);
  Target target();
  Filter filter(ExpressionPtr value);
  CallArguments call_arguments();
  /// Whether what is read may never run: an unknown filter there is an error only when it is reached, as in Jinja.
  bool is_conditional() const;

  int branches_ = 0;  ///< ifs, loops and macros around the current tag

  /// Counts nested constructs while one is parsed, so that no template can overflow the stack.
  class Nested {
   public:
    explicit Nested(ExpressionParser& parser);
    ~Nested() { --parser_.depth_; }
    Nested(Nested const&) = delete;
    Nested& operator=(Nested const&) = delete;

   private:
    ExpressionParser& parser_;
  };

 private:
  using Level = ExpressionPtr (ExpressionParser::*)();
  struct Operation {
    std::string_view symbol;
    BinaryOperator operation;
  };
  ExpressionPtr left_associative(Level next, std::vector<Operation> const& operations);

  ExpressionPtr logical_or();
  ExpressionPtr logical_and();
  ExpressionPtr logical_not();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr unary();
  ExpressionPtr signed_operand();
  ExpressionPtr primary();
  ExpressionPtr named_value();
  ExpressionPtr string_literal();
  ExpressionPtr number_literal();
  ExpressionPtr parenthesized();
  ExpressionPtr list_literal();
  ExpressionPtr dict_literal();
  ExpressionPtr postfix(ExpressionPtr object);
  ExpressionPtr subscript(ExpressionPtr object);
  ExpressionPtr attribute(ExpressionPtr object);
  ExpressionPtr filters_and_tests(ExpressionPtr value);
  ExpressionPtr test(ExpressionPtr value);
  bool begins_test_argument() const;
  bool comparison_operator(Comparison& out);
  Target single_target();

  template <class Node>
  ExpressionPtr make(Node node) const;

  std::vector<Token> tokens_;
  std::string const& name_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace windlass::jinja
