#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/tokenizer/gguf_parts.hpp"
#include "src/model/tokenizer/metadata_fields.hpp"
#include "src/model/tokenizer/sentence_piece.hpp"

namespace windlass {

namespace {
/// Bytes of tokens, fallback to bytes, and whether words may be cut out: what both SentencePiece models share.
Fallback add_sentence_pieces(GgufVocabulary const& vocabulary, Pipeline& pipeline) {
  Fallback fallback{.unknowns = Unknowns::fused};
  bool inner_marks = false;
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    std::string const& token = vocabulary.tokens[i];
    TokenType const type = vocabulary.types[i];
    auto const byte = type == TokenType::byte ? byte_of_token(token) : std::nullopt;
    bool const plain = type == TokenType::normal || type == TokenType::unused;
    if (byte) {
      fallback.byte_tokens[*byte] = TokenNumber(i);
      pipeline.token_bytes.push_back(std::string(1, char(*byte)));
    } else {
      pipeline.token_bytes.push_back(plain ? with_spaces_for_marks(token) : token);
    }
    if (type == TokenType::unknown && fallback.unknown == no_token) fallback.unknown = TokenNumber(i);
    inner_marks = inner_marks || (plain && has_inner_mark(token));
  }
  if (!inner_marks) pipeline.pre_tokenizer.add(WordStartStep{std::string(space_mark)});
  return fallback;
}

void add_space_marks(GgufVocabulary const& vocabulary, Pipeline& pipeline) {
  if (find_flag(vocabulary.metadata, "tokenizer.ggml.add_space_prefix").value_or(true)) {
    pipeline.normalizer.add(Prepend{std::string(space_mark)});
    pipeline.first_space = FirstSpace::drop;
  }
  pipeline.normalizer.add(Replace{Pattern::literal(" "), std::string(space_mark)});
}

std::vector<double> scores_of(GgufVocabulary const& vocabulary) {
  auto const scores = find_numbers(vocabulary.metadata, "tokenizer.ggml.scores");
  if (scores.size() != vocabulary.tokens.size())
    throw InputError(text(vocabulary.metadata.source(), ": tokenizer.ggml.scores has ", scores.size(), " entries for ",
                          vocabulary.tokens.size(), " tokens; convert the model again"));
  for (double const score : scores)
    if (!std::isfinite(score))
      throw InputError(text(vocabulary.metadata.source(), ": tokenizer.ggml.scores has an entry that is no number"));
  return scores;
}

/// Rank 0 for the highest score; equal scores share a rank.
std::vector<std::uint32_t> ranks_of(std::vector<double> const& scores) {
  std::map<double, std::uint32_t, std::greater<>> ranks;
  for (double const score : scores) ranks.emplace(score, 0);
  std::uint32_t next = 0;
  for (auto& [score, rank] : ranks) rank = next++;
  std::vector<std::uint32_t> out;
  for (double const score : scores) out.push_back(ranks.at(score));
  return out;
}

void add_character_map(GgufVocabulary const& vocabulary, Pipeline& pipeline) {
  std::string blob;
  for (std::int64_t const byte : find_integers(vocabulary.metadata, "tokenizer.ggml.precompiled_charsmap"))
    blob += char(byte);
  if (!blob.empty()) pipeline.normalizer.add(MapCharacters{std::make_shared<CharacterMap>(blob)});
  if (find_flag(vocabulary.metadata, "tokenizer.ggml.remove_extra_whitespaces").value_or(false))
    pipeline.normalizer.add(CollapseSpaces{});
  if (find_flag(vocabulary.metadata, "tokenizer.ggml.treat_whitespace_as_suffix").value_or(false))
    throw InputError(text(vocabulary.metadata.source(),
                          ": tokenizer.ggml.treat_whitespace_as_suffix is not supported; send token ids"));
}
}  // namespace

std::unique_ptr<Tokenizer> sentence_piece_bpe(GgufVocabulary const& vocabulary) {
  Pipeline pipeline;
  ScoreBpe::Tables tables;
  tables.ranks = ranks_of(scores_of(vocabulary));
  tables.index.reserve(vocabulary.tokens.size());
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i)
    if (vocabulary.types[i] == TokenType::normal || vocabulary.types[i] == TokenType::unused)
      tables.index.add(vocabulary.tokens[i], TokenNumber(i));
  add_space_marks(vocabulary, pipeline);
  tables.fallback = add_sentence_pieces(vocabulary, pipeline);
  pipeline.model = std::make_unique<ScoreBpe>(std::move(tables));
  add_special_parts(vocabulary, {.bos = AddByDefault::yes}, pipeline);
  return make_tokenizer(std::move(pipeline));
}

std::unique_ptr<Tokenizer> sentence_piece_unigram(GgufVocabulary const& vocabulary) {
  constexpr double unknown_penalty = 10;  // as SentencePiece has it
  Pipeline pipeline;
  Unigram::Tables tables;
  tables.scores = scores_of(vocabulary);
  double lowest = 0;
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    if (vocabulary.types[i] != TokenType::normal) continue;
    tables.trie.add(vocabulary.tokens[i], TokenNumber(i));
    lowest = std::min(lowest, tables.scores[i]);
  }
  tables.unknown_score = lowest - unknown_penalty;
  add_character_map(vocabulary, pipeline);
  add_space_marks(vocabulary, pipeline);
  tables.fallback = add_sentence_pieces(vocabulary, pipeline);
  pipeline.model = std::make_unique<Unigram>(std::move(tables));
  add_special_parts(vocabulary, {.eos = AddByDefault::yes}, pipeline);
  return make_tokenizer(std::move(pipeline));
}

}  // namespace windlass
