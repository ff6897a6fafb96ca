/// A model's tokenizer and chat template, found in its files.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "src/model/model.hpp"

namespace windlass {

/// Where the two come from; both may throw InputError.
struct TextParts {
  std::function<std::unique_ptr<Tokenizer>()> tokenizer;
  std::function<std::string()> chat_template;  ///< its source; empty where there is none
  std::string name;                            ///< of the template's origin, for messages
};

/// Both views keep pointing at what they were given.
TextParts text_parts_of(Metadata const& gguf);
TextParts text_parts_of(std::string const& folder);

/// As in Model.
struct ModelText {
  std::unique_ptr<Tokenizer> tokenizer;
  std::string tokenizer_problem;
  std::unique_ptr<ChatTemplate> chat_template;
  std::string chat_template_problem;
  std::optional<ToolCallFormat> tool_calls;
  bool reasoning = false;
};

/// The two parts, or why they are missing. A template file that the user gave must be right: its InputError is thrown.
ModelText load_text(TextParts const& parts, std::string const& chat_template_file);

}  // namespace windlass
