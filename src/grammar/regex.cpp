#include "src/grammar/regex.hpp"

#include "src/core/error.hpp"
#include "src/grammar/regex_tree.hpp"

namespace windlass::grammar {
namespace {

using Kind = RegexTree::Kind;

class AutomatonMaker {
 public:
  CharacterAutomaton make(RegexTree const& tree, Match match) {
    automaton_.first = automaton_.add_node();
    automaton_.last = automaton_.add_node();
    add_top(tree, match);
    return std::move(automaton_);
  }

 private:
  using Index = std::uint32_t;

  void step(Index from, Index to, CharacterSet const& on = {}) {
    automaton_.nodes[from].push_back({.on = on, .to = to});
  }

  /// Alternatives that may be anchored, each at its own ends.
  void add_top(RegexTree const& tree, Match match) {
    for (RegexTree const& one : tree.children) {
      bool const is_group = one.children.size() == 1 && one.children[0].kind == Kind::alternatives;
      if (is_group)
        add_top(one.children[0], match);
      else
        add_anchored(one, match);
    }
  }

  void add_anchored(RegexTree const& sequence, Match match) {
    RegexTree body = sequence;
    bool const begins = !body.children.empty() && body.children.front().kind == Kind::begin;
    if (begins) body.children.erase(body.children.begin());
    bool const ends = !body.children.empty() && body.children.back().kind == Kind::end;
    if (ends) body.children.pop_back();
    Index const first = automaton_.add_node(), last = automaton_.add_node();
    step(automaton_.first, first);
    step(last, automaton_.last);
    if (match == Match::part && !begins) step(first, first, complement({}));
    if (match == Match::part && !ends) step(last, last, complement({}));
    add(body, first, last);
  }

  void add(RegexTree const& tree, Index from, Index to) {
    switch (tree.kind) {
      case Kind::characters:
        return step(from, to, tree.characters);
      case Kind::sequence:
        return add_sequence(tree, from, to);
      case Kind::alternatives:
        for (RegexTree const& child : tree.children) add(child, from, to);
        return;
      case Kind::repeat:
        return add_repeat(tree, from, to);
      case Kind::begin:
      case Kind::end:
        throw InputError(
            "the regular expression has ^ or $ inside; they may stand at its ends, or at those of its alternatives");
    }
  }

  void add_sequence(RegexTree const& tree, Index from, Index to) {
    for (std::size_t i = 0; i < tree.children.size(); ++i) {
      Index const next = i + 1 == tree.children.size() ? to : automaton_.add_node();
      add(tree.children[i], from, next);
      from = next;
    }
    if (tree.children.empty()) step(from, to);
  }

  void add_repeat(RegexTree const& tree, Index from, Index to) {
    RegexTree const& body = tree.children[0];
    for (std::uint32_t i = 0; i < tree.times.least; ++i) {
      Index const next = automaton_.add_node();
      add(body, from, next);
      from = next;
    }
    if (tree.times.most == unlimited) {
      Index const loop = automaton_.add_node(), back = automaton_.add_node();
      step(from, loop);
      add(body, loop, back);
      step(back, loop);
      return step(loop, to);
    }
    step(from, to);
    for (std::uint32_t i = tree.times.least; i < tree.times.most; ++i) {
      Index const next = automaton_.add_node();
      add(body, from, next);
      step(next, to);
      from = next;
    }
  }

  CharacterAutomaton automaton_;
};

}  // namespace

CharacterAutomaton regex_automaton(std::string_view pattern, Match match) {
  return AutomatonMaker().make(parse_regex(pattern), match);
}

}  // namespace windlass::grammar
