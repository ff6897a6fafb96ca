/// response_format and structured_outputs: what a request wants its output to look like.
#pragma once

#include "src/grammar/constraint.hpp"
#include "src/serve/fields.hpp"

namespace windlass {

/// Reads OpenAI's `response_format`, vLLM's `structured_outputs` and its older `guided_json`, `guided_regex` and
/// `guided_choice`. A constraint that is there has been compiled. Throws ApiError naming field and keyword.
Constraint read_constraint(Fields const& body);

}  // namespace windlass
