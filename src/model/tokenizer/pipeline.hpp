/// A tokenizer as the sum of its parts; the readers of model files fill it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "src/model/tokenizer.hpp"
#include "src/model/tokenizer/added_tokens.hpp"
#include "src/model/tokenizer/normalizer.hpp"
#include "src/model/tokenizer/pre_tokenizer.hpp"
#include "src/model/tokenizer/vocabulary.hpp"
#include "src/model/tokenizer/word_model.hpp"

namespace windlass {

enum class FirstSpace : unsigned char { keep, drop };

struct Pipeline {
  TextList token_bytes;          ///< [vocab] what each token decodes to
  std::vector<bool> special;     ///< [vocab]
  AddedTokens added;             ///< looked for in the text as given
  AddedTokens added_normalized;  ///< looked for after normalisation
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<WordModel const> model;
  std::vector<TokenId> prefix, suffix;  ///< what AddSpecial::yes puts around a text
  std::vector<TokenId> end_tokens;
  std::string bos_text, eos_text;
  FirstSpace first_space = FirstSpace::keep;  ///< on decoding
};

/// Throws InputError where a special token's id is outside the vocabulary.
std::unique_ptr<Tokenizer> make_tokenizer(Pipeline pipeline);

/// Encodes the words of one text; words seen before come from a small direct-mapped cache. One thread.
class WordEncoder {
 public:
  /// `text_bytes` sizes the cache: at most 4096 words, 256 KiB.
  WordEncoder(WordModel const& model, std::size_t text_bytes);
  void encode(std::string_view word, std::vector<TokenNumber>& out);

 private:
  static constexpr std::size_t max_word_bytes = 36;
  struct Slot {
    std::uint64_t hash = 0;
    std::uint32_t first = 0;  ///< where in `out` the word's tokens lie
    std::uint16_t tokens = 0;
    std::uint8_t bytes = 0;  ///< 0: free
    char word[max_word_bytes];
  };

  WordModel const& model_;
  WordScratch scratch_;
  std::vector<Slot> slots_;
};

}  // namespace windlass
