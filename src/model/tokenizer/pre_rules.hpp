/// What the names in a GGUF's tokenizer.ggml.pre mean.
#pragma once

#include <string_view>
#include <vector>

#include "src/model/tokenizer/word_model.hpp"

namespace windlass {

enum class Normalization : unsigned char { none, nfc };
enum class AddByDefault : unsigned char { no, yes };

struct PreRule {
  std::vector<std::string_view> expressions;  ///< applied one after the other; matches and gaps are words
  WholeWords whole_words = WholeWords::merge;
  AddByDefault bos = AddByDefault::no;  ///< where the file does not say
  Normalization normalization = Normalization::none;
};

/// Null: the name is not known.
PreRule const* find_pre_rule(std::string_view name);

/// GPT-2's own expression, which tokenizer.json's ByteLevel implies.
extern std::string_view const gpt2_expression;

}  // namespace windlass
