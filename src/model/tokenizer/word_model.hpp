/// From a word (what the pre-tokenizer cut out) to token numbers: byte-level BPE, BPE over characters by merge rules,
/// BPE by scores, unigram.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "src/model/tokenizer/vocabulary.hpp"

namespace windlass {

/// A part of a word that is one token (or, before merging, one character).
struct Symbol {
  TokenNumber token = no_token;
  std::uint32_t begin = 0, end = 0;  ///< bytes of the word
};

/// Memory that calls reuse; belongs to one thread.
struct WordScratch {
  std::vector<Symbol> symbols;
  std::vector<Merge> merges;
};

/// Immutable and safe to use from any thread.
class WordModel {
 public:
  virtual ~WordModel() = default;
  /// Appends the tokens of `word` (valid UTF-8 except for byte-level models; below 4 GiB). O(n log n).
  virtual void encode(std::string_view word, WordScratch& scratch, std::vector<TokenNumber>& out) const = 0;
};

/// Whether a word that is itself a token is taken as such, whatever the merge rules say ("ignore_merges").
enum class WholeWords : unsigned char { merge, take };
enum class Unknowns : unsigned char { one_each, fused };  ///< "fuse_unk": neighbours become one unknown token

/// What stands for a character that is no token: its bytes' tokens if all exist, else `unknown`, else nothing.
struct Fallback {
  std::array<TokenNumber, 256> byte_tokens = no_byte_tokens();
  TokenNumber unknown = no_token;
  Unknowns unknowns = Unknowns::one_each;

  static std::array<TokenNumber, 256> no_byte_tokens() {
    std::array<TokenNumber, 256> none;
    none.fill(no_token);
    return none;
  }
};

/// BPE over bytes. Source: Sennrich et al. 2016, arXiv:1508.07909, on bytes as in GPT-2.
class ByteBpe final : public WordModel {
 public:
  struct Tables {
    TextIndex index;  ///< bytes of a token to its number
    MergeTable merges;
    WholeWords whole_words = WholeWords::merge;
    TokenNumber unknown = no_token;  ///< for bytes that are no token; no_token: they vanish
    Unknowns unknowns = Unknowns::one_each;
  };
  explicit ByteBpe(Tables tables);
  void encode(std::string_view word, WordScratch& scratch, std::vector<TokenNumber>& out) const override;

 private:
  Tables tables_;
  std::array<TokenNumber, 256> byte_tokens_{};
};

/// BPE over characters by merge rules, with fallback to bytes.
class CharacterBpe final : public WordModel {
 public:
  struct Tables {
    TextIndex index;
    MergeTable merges;
    WholeWords whole_words = WholeWords::merge;
    Fallback fallback;
  };
  explicit CharacterBpe(Tables tables) : tables_(std::move(tables)) {}
  void encode(std::string_view word, WordScratch& scratch, std::vector<TokenNumber>& out) const override;

 private:
  Tables tables_;
};

/// BPE as SentencePiece does it: of all neighbours that join to a token, those with the highest score join first.
class ScoreBpe final : public WordModel {
 public:
  struct Tables {
    TextIndex index;
    std::vector<std::uint32_t> ranks;  ///< [tokens]; 0: the highest score, equal scores have equal ranks
    Fallback fallback;
  };
  explicit ScoreBpe(Tables tables) : tables_(std::move(tables)) {}
  void encode(std::string_view word, WordScratch& scratch, std::vector<TokenNumber>& out) const override;

 private:
  Tables tables_;
};

/// The division of a word with the highest sum of scores. Source: Kudo 2018, arXiv:1804.10959.
class Unigram final : public WordModel {
 public:
  struct Tables {
    Trie trie;
    std::vector<double> scores;  ///< [tokens]
    double unknown_score = 0;    ///< of a character that is no token
    Fallback fallback;
  };
  explicit Unigram(Tables tables) : tables_(std::move(tables)) {}
  void encode(std::string_view word, WordScratch& scratch, std::vector<TokenNumber>& out) const override;

 private:
  Tables tables_;
};

}  // namespace windlass
