/// Tokenizers from GGUF metadata. Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, "Tokenizer".
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/tokenizer/byte_alphabet.hpp"
#include "src/model/tokenizer/gguf_parts.hpp"
#include "src/model/tokenizer/metadata_fields.hpp"
#include "src/model/tokenizer/unicode.hpp"

namespace windlass {

namespace {
void add_merges(GgufVocabulary const& vocabulary, ByteBpe::Tables& tables) {
  auto const* const merges = find_texts(vocabulary.metadata, "tokenizer.ggml.merges");
  if (!merges)
    throw InputError(text(vocabulary.metadata.source(),
                          ": metadata key tokenizer.ggml.merges is missing, and a gpt2 "
                          "tokenizer needs it; convert the model again"));
  tables.merges.reserve(merges->size());
  std::string joined;
  for (std::size_t rank = 0; rank < merges->size(); ++rank) {
    std::string_view const rule = (*merges)[rank];
    // Neither side is empty, so the space is looked for behind the first byte; byte-alphabet texts contain none.
    std::size_t const space = rule.find(' ', 1);
    joined.clear();
    bool const readable = space != std::string_view::npos && first_invalid_utf8(rule) == rule.size() &&
                          append_from_byte_alphabet(joined, rule.substr(0, space));
    std::size_t const left_bytes = joined.size();
    if (!readable || !append_from_byte_alphabet(joined, rule.substr(space + 1)))
      throw InputError(text(vocabulary.metadata.source(), ": tokenizer.ggml.merges[", rank, "] is '", rule,
                            "', which is not two byte-level texts; convert the model again"));
    std::string_view const all = joined;
    TokenNumber const left = tables.index.find(all.substr(0, left_bytes));
    TokenNumber const right = tables.index.find(all.substr(left_bytes));
    TokenNumber const result = tables.index.find(all);
    // A rule about texts that are no tokens can never apply: SmolLM2's vocabulary lacks some bytes.
    if (left != no_token && right != no_token && result != no_token)
      tables.merges.add(left, right, {std::uint32_t(rank), result});
  }
}

std::unique_ptr<Tokenizer> byte_level(GgufVocabulary const& vocabulary) {
  auto const* const pre = find_text(vocabulary.metadata, "tokenizer.ggml.pre");
  PreRule const* const rule = find_pre_rule(pre ? std::string_view(*pre) : "default");
  if (!rule)
    throw InputError(text(vocabulary.metadata.source(), ": tokenizer.ggml.pre '", *pre,
                          "' is not supported; use the model's Hugging Face folder, or send token ids"));
  Pipeline pipeline;
  ByteBpe::Tables tables;
  tables.whole_words = rule->whole_words;
  tables.index.reserve(vocabulary.tokens.size());
  std::string bytes;
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    bytes.clear();
    bool const plain = vocabulary.types[i] == TokenType::normal;
    if (plain && append_from_byte_alphabet(bytes, vocabulary.tokens[i])) {
      tables.index.add(bytes, TokenNumber(i));
    } else {
      bytes = vocabulary.tokens[i];
    }
    pipeline.token_bytes.push_back(bytes);
  }
  add_merges(vocabulary, tables);
  if (rule->normalization == Normalization::nfc) pipeline.normalizer.add(NormalizeForm{NormalForm::nfc});
  for (std::string_view const expression : rule->expressions)
    pipeline.pre_tokenizer.add(SplitStep{.pattern = Pattern::regex(std::string(expression))});
  pipeline.model = std::make_unique<ByteBpe>(std::move(tables));
  add_special_parts(vocabulary, {.bos = rule->bos}, pipeline);
  return make_tokenizer(std::move(pipeline));
}
}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_gguf(Metadata const& metadata) {
  auto const* const model = find_text(metadata, "tokenizer.ggml.model");
  if (!model)
    throw InputError(text(metadata.source(),
                          ": metadata key tokenizer.ggml.model is missing; the file has no tokenizer, "
                          "send token ids"));
  GgufVocabulary const vocabulary = read_vocabulary(metadata);
  if (*model == "gpt2") return byte_level(vocabulary);
  if (*model == "llama") return sentence_piece_bpe(vocabulary);
  if (*model == "t5") return sentence_piece_unigram(vocabulary);
  throw InputError(
      text(metadata.source(), ": tokenizer.ggml.model '", *model,
           "' is not supported (gpt2, llama and t5 are); use the model's Hugging Face folder, or send token "
           "ids"));
}

}  // namespace windlass
