/// Tokens that are cut out of a text before anything else looks at it: special tokens and others a model's author
/// added.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "src/model/tokenizer/vocabulary.hpp"

namespace windlass {

struct AddedToken {
  enum class Boundary : unsigned char { anywhere, whole_word };   ///< "single_word"
  enum class Spaces : unsigned char { none, left, right, both };  ///< white space that the token swallows

  std::string content;
  TokenNumber token = no_token;
  Boundary boundary = Boundary::anywhere;
  Spaces spaces = Spaces::none;
};

/// Finds added tokens: the leftmost, and of those the longest. Immutable once filled; safe to use from any thread.
class AddedTokens {
 public:
  void add(AddedToken token);
  bool empty() const { return tokens_.empty(); }

  struct Part {
    std::string_view text;
    TokenNumber token = no_token;  ///< no_token: ordinary text
  };
  /// The whole of `text`, divided; ordinary parts are not empty.
  std::vector<Part> divide(std::string_view text) const;

 private:
  struct Found {
    std::size_t begin = 0, end = 0;
    AddedToken const* token = nullptr;  ///< null: none
  };
  Found find(std::string_view text, std::size_t from) const;

  Trie trie_;
  std::vector<AddedToken> tokens_;
};

}  // namespace windlass
