/// JSON schemas to grammars.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <unordered_map>

#include "src/grammar/grammar.hpp"
#include "src/grammar/json_rules.hpp"

namespace windlass::grammar {

/// Everything that the grammar allows satisfies the schema; not everything that satisfies it is allowed (README.md).
class SchemaCompiler {
 public:
  /// `root` must outlive it.
  SchemaCompiler(GrammarBuilder& builder, boost::json::value const& root, JsonSpacing spacing)
      : builder_(&builder), root_(&root), json_(builder, spacing) {}

  /// Throws InputError naming the keyword that is wrong or not supported.
  Rule rule_of(boost::json::value const& schema);

 private:
  void fill(Grammar::Ends ends, boost::json::value const& schema);
  void fill_alternatives(Grammar::Ends ends, boost::json::object schema, char const* keyword);
  void fill_merged(Grammar::Ends ends, boost::json::object schema);
  void fill_listed(Grammar::Ends ends, boost::json::object const& schema);
  void fill_type(Grammar::Ends ends, boost::json::object const& schema, std::string_view type);
  void fill_object(Grammar::Ends ends, boost::json::object const& schema);
  void fill_array(Grammar::Ends ends, boost::json::object const& schema);
  void fill_string(Grammar::Ends ends, boost::json::object const& schema);
  void fill_number(Grammar::Ends ends, boost::json::object const& schema, std::string_view type);
  Rule member(std::string_view name, boost::json::value const& schema);
  Rule further_member(boost::json::object const& declared, boost::json::value const& schema);

  GrammarBuilder* builder_;
  boost::json::value const* root_;
  JsonRules json_;
  std::unordered_map<std::string, Rule> rules_;  ///< by the schema's text
  int depth_ = 0;
};

}  // namespace windlass::grammar
