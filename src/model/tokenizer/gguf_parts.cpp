#include "src/model/tokenizer/gguf_parts.hpp"

#include <algorithm>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/tokenizer/metadata_fields.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace windlass {

GgufVocabulary read_vocabulary(Metadata const& metadata) {
  auto const* const tokens = find_texts(metadata, "tokenizer.ggml.tokens");
  if (!tokens || tokens->empty())
    throw InputError(text(metadata.source(),
                          ": metadata key tokenizer.ggml.tokens is missing or empty; the file has no "
                          "tokenizer, send token ids"));
  GgufVocabulary vocabulary{metadata, *tokens, std::vector<TokenType>(tokens->size(), TokenType::normal)};
  auto const types = find_integers(metadata, "tokenizer.ggml.token_type");
  if (!types.empty() && types.size() != tokens->size())
    throw InputError(text(metadata.source(), ": tokenizer.ggml.token_type has ", types.size(), " entries for ",
                          tokens->size(), " tokens; convert the model again"));
  for (std::size_t i = 0; i < types.size(); ++i) {
    bool const known = types[i] >= 0 && types[i] <= 6;
    if (!known) throw InputError(text(metadata.source(), ": tokenizer.ggml.token_type of token ", i, " is ", types[i]));
    if (types[i] != 0) vocabulary.types[i] = TokenType(types[i]);
  }
  for (std::size_t i = 0; i < tokens->size(); ++i)
    if (first_invalid_utf8((*tokens)[i]) != (*tokens)[i].size())
      throw InputError(text(metadata.source(), ": tokenizer.ggml.tokens[", i, "] is not UTF-8"));
  return vocabulary;
}

namespace {
/// Texts that end an answer, whichever of them the file names as its end-of-text token.
constexpr std::string_view end_texts[] = {"<|eot_id|>",    "<|im_end|>", "<|end|>", "<end_of_turn>",
                                          "<|endoftext|>", "<|eom_id|>", "<EOT>",   "<|end_of_text|>"};

bool is_end_text(std::string_view token) {
  return std::find(std::begin(end_texts), std::end(end_texts), token) != std::end(end_texts);
}

/// Special tokens, added tokens, and what the file says about the ends of a text.
class SpecialParts {
 public:
  SpecialParts(GgufVocabulary const& vocabulary, Pipeline& pipeline) : v_(vocabulary), p_(pipeline) {}

  void add(EndsByDefault by_default) {
    add_special_tokens();
    bool const bos_wanted =
        find_flag(v_.metadata, "tokenizer.ggml.add_bos_token").value_or(by_default.bos == AddByDefault::yes);
    bool const eos_wanted =
        find_flag(v_.metadata, "tokenizer.ggml.add_eos_token").value_or(by_default.eos == AddByDefault::yes);
    auto const bos = token_of("tokenizer.ggml.bos_token_id");
    auto const eos = token_of("tokenizer.ggml.eos_token_id");
    if (bos) p_.bos_text = v_.tokens[*bos];
    if (eos) p_.eos_text = v_.tokens[*eos];
    if (bos && bos_wanted) p_.prefix = {TokenId{*bos}};
    if (eos && eos_wanted) p_.suffix = {TokenId{*eos}};
    add_end_tokens();
  }

 private:
  void add_special_tokens() {
    // Phi-3's special tokens swallow the white space behind them; GGUF has no field to say so.
    auto const* const architecture = find_text(v_.metadata, "general.architecture");
    bool const phi3 = architecture && *architecture == "phi3";
    p_.special.resize(v_.tokens.size());
    for (std::size_t i = 0; i < v_.tokens.size(); ++i) {
      std::string const& content = v_.tokens[i];
      TokenType const type = v_.types[i];
      bool const user_defined = type == TokenType::user_defined;
      p_.special[i] =
          type == TokenType::control || type == TokenType::unknown || (user_defined && is_end_text(content));
      if (!p_.special[i] && !user_defined) continue;
      bool const swallows = phi3 && content != "<s>" && content != "<unk>" && content != "<|endoftext|>";
      p_.added.add({.content = content,
                    .token = TokenNumber(i),
                    .spaces = swallows ? AddedToken::Spaces::right : AddedToken::Spaces::none});
    }
  }

  std::optional<std::uint32_t> token_of(std::string_view key) const {
    auto const id = find_token(v_.metadata, key);
    if (id && *id >= v_.tokens.size())
      throw InputError(text(v_.metadata.source(), ": ", key, " ", *id, " is outside the vocabulary of ",
                            v_.tokens.size(), " tokens"));
    return id;
  }

  void add_end_tokens() {
    auto const add = [&](std::uint32_t id) {
      if (std::find(p_.end_tokens.begin(), p_.end_tokens.end(), TokenId{id}) == p_.end_tokens.end())
        p_.end_tokens.push_back(TokenId{id});
    };
    for (auto const* key :
         {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
      if (auto const id = token_of(key)) add(*id);
    for (std::size_t i = 0; i < v_.tokens.size(); ++i)
      if (p_.special[i] && is_end_text(v_.tokens[i])) add(std::uint32_t(i));
  }

  GgufVocabulary const& v_;
  Pipeline& p_;
};
}  // namespace

void add_special_parts(GgufVocabulary const& vocabulary, EndsByDefault by_default, Pipeline& pipeline) {
  SpecialParts(vocabulary, pipeline).add(by_default);
}

}  // namespace windlass
