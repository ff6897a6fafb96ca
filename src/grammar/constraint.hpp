/// What generated text must look like, as a request says it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "src/grammar/grammar.hpp"

namespace windlass {

/// White space between the parts of JSON.
enum class JsonSpacing : std::uint8_t { flexible, none };

struct Constraint {
  enum class Kind : std::uint8_t { none, json_object, json_schema, regex, choice } kind = Kind::none;
  std::string source;  ///< the schema as JSON; the regular expression; a JSON list of strings
  JsonSpacing spacing = JsonSpacing::flexible;
  std::shared_ptr<grammar::Grammar const> compiled = {};  ///< of the above, where somebody has done so already

  explicit operator bool() const { return kind != Kind::none; }
  bool operator==(Constraint const& other) const {
    return kind == other.kind && source == other.source && spacing == other.spacing;
  }
};

/// Of a constraint that is one. Throws InputError naming the keyword or construct that is wrong or not supported.
grammar::Grammar compile(Constraint const& constraint);

}  // namespace windlass
