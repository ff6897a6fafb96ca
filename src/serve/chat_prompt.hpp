/// From chat messages to the text of a prompt.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "src/serve/fields.hpp"
#include "src/serve/openai_request.hpp"

namespace windlass {

/// Renders `messages` (and tools, documents, chat_template_kwargs) with the model's chat template. Text parts of a
/// message are joined by line ends; arguments of earlier tool calls become objects, as templates expect. Throws
/// ApiError.
std::string chat_prompt(Fields const& body, RequestRules const& rules);

}  // namespace windlass
