/// Text to token ids and back.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/core/ids.hpp"
#include "src/model/metadata.hpp"

namespace windlass {

/// Whether the tokenizer's own beginning- and end-of-text tokens are put around a text.
enum class AddSpecial : unsigned char { no, yes };

/// Immutable and safe to use from any thread.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Special and added tokens written in `text` become their ids. Throws InputError where `text` is not UTF-8.
  virtual std::vector<TokenId> encode(std::string_view text, AddSpecial add) const = 0;
  /// The bytes that a token stands for (not always whole characters); special tokens give their own text. Ids outside
  /// the vocabulary: empty.
  virtual std::string_view bytes(TokenId token) const = 0;
  virtual bool is_special(TokenId token) const = 0;
  virtual int vocab() const = 0;  ///< ids are below this
  virtual std::vector<TokenId> end_tokens() const = 0;
  virtual std::string_view bos_text()
      const = 0;  ///< text of the beginning-of-text token, for chat templates; may be empty
  virtual std::string_view eos_text() const = 0;
  /// SentencePiece puts a space before the first word; it is dropped again at the start of a decoded text.
  virtual bool drops_first_space() const = 0;
};

/// From GGUF metadata (tokenizer.ggml.*). Throws InputError naming the key that is missing or not supported.
std::unique_ptr<Tokenizer> tokenizer_from_gguf(Metadata const& metadata);
/// From a Hugging Face folder: tokenizer.json and tokenizer_config.json. Throws InputError naming the file and
/// construct.
std::unique_ptr<Tokenizer> tokenizer_from_folder(std::string const& folder);

enum class SpecialText : unsigned char { skip, keep };

/// Turns a stream of tokens into text, never emitting half a UTF-8 character. Bytes that can never become valid are
/// replaced by U+FFFD.
class Detokenizer {
 public:
  Detokenizer(Tokenizer const& tokenizer, SpecialText special) : tokenizer_(&tokenizer), special_(special) {}
  /// The text that became complete with `token`; may be empty.
  std::string add(TokenId token);
  /// What is left: an incomplete character becomes U+FFFD.
  std::string finish();

 private:
  Tokenizer const* tokenizer_;
  SpecialText special_;
  std::string pending_;  ///< bytes of an incomplete character
  bool at_start_ = true;
};

std::string decode(Tokenizer const& tokenizer, std::vector<TokenId> const& tokens, SpecialText special);

}  // namespace windlass
