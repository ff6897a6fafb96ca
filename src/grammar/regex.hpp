/// Regular expressions, in the part of ECMA-262's and Python's syntax that automata can follow.
#pragma once

#include <string_view>

#include "src/grammar/characters.hpp"

namespace windlass::grammar {

/// Whether the whole text must fit, or (JSON schema's `pattern`) some part of it.
enum class Match : unsigned char { whole, part };

/// Throws InputError naming the construct and where it stands; README.md lists what is supported.
CharacterAutomaton regex_automaton(std::string_view pattern, Match match);

}  // namespace windlass::grammar
