#include "src/grammar/constraint.hpp"

#include <boost/json/parse.hpp>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/grammar/byte_automaton.hpp"
#include "src/grammar/regex.hpp"
#include "src/grammar/schema_compiler.hpp"

namespace windlass {
namespace {

namespace json = boost::json;
using namespace grammar;

constexpr std::size_t max_source_bytes = std::size_t{1} << 20, max_choices = 10'000, max_json_depth = 128;

json::value parsed(std::string const& source, char const* what) {
  json::error_code failed;
  json::parse_options options;
  options.max_depth = max_json_depth;
  json::value value = json::parse(source, failed, {}, options);
  if (failed) throw InputError(text(what, " is not valid JSON: ", failed.message()));
  return value;
}

std::vector<std::string> choices_of(std::string const& source) {
  json::value const value = parsed(source, "the list of choices");
  json::array const* const list = value.if_array();
  std::vector<std::string> choices;
  bool right = list && !list->empty() && list->size() <= max_choices;
  for (std::size_t i = 0; right && i < list->size(); ++i) {
    right = (*list)[i].is_string() && !(*list)[i].get_string().empty();
    if (right) choices.emplace_back((*list)[i].get_string());
  }
  if (!right) throw InputError(text("'choice' must be a list of 1 to ", max_choices, " strings, none of them empty"));
  return choices;
}

Grammar built(Constraint const& constraint) {
  if (constraint.source.size() > max_source_bytes)
    throw InputError(
        text("the constraint has ", constraint.source.size(), " bytes; at most ", max_source_bytes, " are possible"));
  GrammarBuilder builder;
  switch (constraint.kind) {
    case Constraint::Kind::none:
      break;
    case Constraint::Kind::json_object: {
      Rule const start = JsonRules(builder, constraint.spacing).object();
      return std::move(builder).finish(start);
    }
    case Constraint::Kind::json_schema: {
      json::value const schema = parsed(constraint.source, "the JSON schema");
      Rule const start = SchemaCompiler(builder, schema, constraint.spacing).rule_of(schema);
      return std::move(builder).finish(start);
    }
    case Constraint::Kind::regex: {
      Rule const start = builder.rule();
      add_automaton(builder, builder.ends(start), regex_automaton(constraint.source, Match::whole), Writing::plain);
      return std::move(builder).finish(start);
    }
    case Constraint::Kind::choice: {
      Rule const start = builder.rule();
      builder.add_choices(builder.ends(start), choices_of(constraint.source));
      return std::move(builder).finish(start);
    }
  }
  throw InputError("a constraint has no kind");
}

}  // namespace

Grammar compile(Constraint const& constraint) {
  Grammar grammar = built(constraint);
  if (ByteAutomaton(std::make_shared<Grammar const>(grammar)).start() == dead_state)
    throw InputError(text("a text may begin in more than ", ByteAutomaton::max_ways,
                          " ways at once; use fewer optional parts or smaller counts"));
  return grammar;
}

}  // namespace windlass
