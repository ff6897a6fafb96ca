#include "src/grammar/json_rules.hpp"

#include "src/grammar/regex.hpp"

namespace windlass::grammar {
namespace {

constexpr std::uint32_t max_indentation = 40;

}  // namespace

void JsonRules::add_space(Node from, Node to) {
  if (spacing_ == JsonSpacing::none) return builder_->add_empty(from, to);
  builder_->add_call(from, to, space());
}

Rule JsonRules::space() {
  if (space_) return *space_;
  space_ = builder_->rule();
  Rule const blank = builder_->rule();
  auto const [blank_first, blank_last] = builder_->ends(blank);
  builder_->add_text(blank_first, blank_last, " ");
  builder_->add_text(blank_first, blank_last, "\t");
  auto const [first, last] = builder_->ends(*space_);
  Node const indentation = builder_->node();
  builder_->add_empty(first, last);
  builder_->add_text(first, last, " ");
  builder_->add_text(first, indentation, "\n");
  builder_->add_repeat(indentation,
                       {.kind = Edge::Kind::call, .rule = blank, .times = {0, max_indentation}, .to = last});
  return *space_;
}

void JsonRules::add_comma(Node from, Node to) {
  Node const behind = builder_->node();
  builder_->add_text(from, behind, ",");
  add_space(behind, to);
}

void JsonRules::add_member_value(Node from, Node to, Rule value) {
  Node const colon = builder_->node(), begin = builder_->node();
  builder_->add_text(from, colon, ":");
  add_space(colon, begin);
  builder_->add_call(begin, to, value);
}

Rule JsonRules::value() {
  if (!value_) {
    value_ = builder_->rule();
    fill_value(builder_->ends(*value_));
  }
  return *value_;
}

void JsonRules::fill_value(Grammar::Ends ends) {
  for (Rule const rule : {object(), array(), string(), number()}) builder_->add_call(ends.first, ends.last, rule);
  builder_->add_choices(ends, {"true", "false", "null"});
}

/// Nothing or items with commas between, in brackets.
void JsonRules::add_list(Grammar::Ends ends, std::string_view brackets, Rule item) {
  Rule const more = builder_->rule();
  auto const [more_first, more_last] = builder_->ends(more);
  Node const behind_comma = builder_->node();
  add_comma(more_first, behind_comma);
  builder_->add_call(behind_comma, more_last, item);
  Node const open = builder_->node(), begin = builder_->node(), behind = builder_->node(), close = builder_->node();
  Node const end = builder_->node();
  builder_->add_text(ends.first, open, brackets.substr(0, 1));
  add_space(open, begin);
  builder_->add_empty(begin, close);
  builder_->add_call(begin, behind, item);
  builder_->add_repeat(behind, {.kind = Edge::Kind::call, .rule = more, .times = {0, unlimited}, .to = end});
  add_space(end, close);
  builder_->add_text(close, ends.last, brackets.substr(1));
}

Rule JsonRules::object() {
  if (object_) return *object_;
  object_ = builder_->rule();
  Rule const member = builder_->rule();
  auto const [first, last] = builder_->ends(member);
  Node const behind_key = builder_->node();
  builder_->add_call(first, behind_key, string());
  add_member_value(behind_key, last, value());
  add_list(builder_->ends(*object_), "{}", member);
  return *object_;
}

Rule JsonRules::array() {
  if (!array_) {
    array_ = builder_->rule();
    add_list(builder_->ends(*array_), "[]", value());
  }
  return *array_;
}

Rule JsonRules::string() {
  if (string_) return *string_;
  string_ = builder_->rule();
  auto const [first, last] = builder_->ends(*string_);
  Node const open = builder_->node(), close = builder_->node();
  builder_->add_text(first, open, "\"");
  builder_->add_repeat(open, {.kind = Edge::Kind::call, .rule = character(), .times = {0, unlimited}, .to = close});
  builder_->add_text(close, last, "\"");
  return *string_;
}

Rule JsonRules::character() {
  if (!character_) {
    character_ = builder_->rule();
    fill_character(builder_->ends(*character_));
  }
  return *character_;
}

/// A character as it is, or any escape of one; half a surrogate pair alone is none.
void JsonRules::fill_character(Grammar::Ends ends) {
  add_characters(*builder_, ends, complement({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}}));
  add_automaton(*builder_, ends,
                regex_automaton("\\\\(?:[\"\\\\/bfnrt]|u(?:[0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}|"
                                "[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}))",
                                Match::whole),
                Writing::plain);
}

Rule JsonRules::number() {
  if (!number_) {
    number_ = builder_->rule();
    add_automaton(*builder_, builder_->ends(*number_),
                  regex_automaton("-?(?:0|[1-9][0-9]{0,17})(?:\\.[0-9]{1,17})?(?:[eE][+-]?[0-9]{1,2})?", Match::whole),
                  Writing::plain);
  }
  return *number_;
}

Rule JsonRules::integer() {
  if (!integer_) {
    integer_ = builder_->rule();
    add_automaton(*builder_, builder_->ends(*integer_), regex_automaton("-?(?:0|[1-9][0-9]{0,17})", Match::whole),
                  Writing::plain);
  }
  return *integer_;
}

}  // namespace windlass::grammar
