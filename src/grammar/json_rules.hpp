/// The rules of JSON itself (RFC 8259), made as they are asked for.
#pragma once

#include <optional>

#include "src/grammar/characters.hpp"
#include "src/grammar/constraint.hpp"
#include "src/grammar/grammar.hpp"

namespace windlass::grammar {

/// Numbers have at most 18 digits before and 17 behind the point and exponents of two digits, so that every reader
/// takes them. Between the parts of lists and objects stand, where spacing is free, nothing, one space, or a new line
/// with up to 40 spaces or tabs.
class JsonRules {
 public:
  JsonRules(GrammarBuilder& builder, JsonSpacing spacing) : builder_(&builder), spacing_(spacing) {}

  Rule value();
  Rule object();  ///< any keys and values
  Rule string();
  Rule character();  ///< of a string; escapes too
  Rule number();
  Rule integer();

  void add_space(Node from, Node to);
  void add_comma(Node from, Node to);  ///< with the space behind it
  /// key and colon, then `value`; `key` leads from one to the other quote.
  void add_member_value(Node from, Node to, Rule value);

 private:
  Rule array();
  Rule space();
  void fill_value(Grammar::Ends ends);
  void fill_character(Grammar::Ends ends);
  void add_list(Grammar::Ends ends, std::string_view brackets, Rule item);

  GrammarBuilder* builder_;
  JsonSpacing spacing_;
  std::optional<Rule> value_, object_, array_, string_, character_, number_, integer_, space_;
};

}  // namespace windlass::grammar
