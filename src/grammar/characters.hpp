/// Automata over characters (Unicode scalar values), and their way into a grammar of bytes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "src/grammar/grammar.hpp"

namespace windlass::grammar {

struct CharacterRange {
  char32_t low = 0, high = 0;  ///< both included
};

/// A set of characters; sorted and disjoint once normalised() has made it.
using CharacterSet = std::vector<CharacterRange>;

CharacterSet normalised(CharacterSet set);
CharacterSet complement(CharacterSet const& set);  ///< of all characters, without surrogates
CharacterSet intersection(CharacterSet const& a, CharacterSet const& b);

/// A non-deterministic automaton: a text fits where its characters lead from node `first` to node `last`.
struct CharacterAutomaton {
  struct Step {
    CharacterSet on;       ///< empty: no character is read
    std::uint32_t to = 0;  ///< node
  };
  std::vector<std::vector<Step>> nodes;
  std::uint32_t first = 0, last = 0;

  std::uint32_t add_node();  ///< Throws InputError beyond 100,000.
};

/// The texts of `automaton` that have so many characters. Throws InputError where that makes it too large.
CharacterAutomaton with_length(CharacterAutomaton const& automaton, Times characters);

/// How characters are written: as they are, or as in a JSON string, with escapes where JSON needs them.
enum class Writing : std::uint8_t { plain, json };

void add_characters(GrammarBuilder& builder, Grammar::Ends between, CharacterSet const& set);
void add_automaton(GrammarBuilder& builder, Grammar::Ends between, CharacterAutomaton const& automaton,
                   Writing writing);

/// UTF-8 to characters. Throws InputError where it is not UTF-8.
std::u32string characters_of(std::string_view utf8);

}  // namespace windlass::grammar
