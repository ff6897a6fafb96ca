/// The parts of a tokenizer.json, each read on its own.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "src/model/tokenizer/json_node.hpp"
#include "src/model/tokenizer/pipeline.hpp"

namespace windlass {

/// All of a tokenizer.json and of its tokenizer_config.json, which may be null. Throws InputError naming file and
/// field.
Pipeline read_tokenizer_json(JsonNode const& tokenizer, JsonNode const& config);

/// "normalizer". Throws InputError naming a type that is not supported, as all of these do.
void read_normalizer(JsonNode const& node, Normalizer& normalizer);

enum class TextUnit : unsigned char { bytes, characters };  ///< what a vocabulary's texts are made of

/// "pre_tokenizer"; bytes where it contains ByteLevel.
TextUnit read_pre_tokenizer(JsonNode const& node, PreTokenizer& pre_tokenizer);

/// "decoder": what a token's text stands for.
class TokenDecoder {
 public:
  explicit TokenDecoder(JsonNode const& node) { add(node); }
  /// `text` is valid UTF-8.
  std::string bytes(std::string_view text) const;
  /// The same for an added token that is not special: never from the byte alphabet.
  std::string added_bytes(std::string_view text) const;
  FirstSpace first_space() const { return first_space_; }

 private:
  struct Replacement {
    std::string from, to;
  };
  void add(JsonNode const& node);
  void add_metaspace(JsonNode const& node);

  TextUnit unit_ = TextUnit::characters;
  bool byte_tokens_ = false;  ///< <0x0A> is a byte
  std::vector<Replacement> replacements_;
  FirstSpace first_space_ = FirstSpace::keep;
};

/// "model", given what its texts are made of; may add a step to the pre-tokenizer that only makes it faster.
std::unique_ptr<WordModel const> read_word_model(JsonNode const& node, TextUnit unit, PreTokenizer& pre_tokenizer);

/// Bytes that base64 text stands for; throws InputError naming the field.
std::string from_base64(JsonNode const& node);

/// "prepend_scheme", or "add_prefix_space" of older files, of a Metaspace.
PrefixScheme metaspace_scheme(JsonNode const& node);

/// "pattern": {"String": …} or {"Regex": …}.
Pattern read_pattern(JsonNode const& node);

}  // namespace windlass
