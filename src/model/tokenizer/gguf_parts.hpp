/// What the tokenizers of GGUF files have in common.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/model/metadata.hpp"
#include "src/model/tokenizer/pipeline.hpp"
#include "src/model/tokenizer/pre_rules.hpp"

namespace windlass {

enum class TokenType : std::uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct GgufVocabulary {
  Metadata const& metadata;
  std::vector<std::string> const& tokens;
  std::vector<TokenType> types;  ///< [tokens]
};

/// Throws InputError naming the key that is missing or damaged.
GgufVocabulary read_vocabulary(Metadata const& metadata);

/// Whether a text gets its beginning and its end token where the file does not say.
struct EndsByDefault {
  AddByDefault bos = AddByDefault::no;
  AddByDefault eos = AddByDefault::no;
};
/// Fills in special and added tokens, and what belongs to the ends of a text.
void add_special_parts(GgufVocabulary const& vocabulary, EndsByDefault by_default, Pipeline& pipeline);

/// tokenizer.ggml.model "llama" and "t5".
std::unique_ptr<Tokenizer> sentence_piece_bpe(GgufVocabulary const& vocabulary);
std::unique_ptr<Tokenizer> sentence_piece_unigram(GgufVocabulary const& vocabulary);

}  // namespace windlass
