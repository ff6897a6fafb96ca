/// A tokenizer's tables: the bytes of every token, and the way from text to id.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace windlass {

/// Ids inside a tokenizer; TokenId at its border.
using TokenNumber = std::uint32_t;
constexpr TokenNumber no_token = 0xFFFFFFFFu;
/// The largest vocabularies have 2^18 entries; a file that names ids beyond this is damaged.
constexpr TokenNumber max_token_number = (1 << 22) - 1;

/// Texts, one after the other in one allocation, named by number.
class TextList {
 public:
  void reserve(std::size_t texts, std::size_t bytes) {
    ends_.reserve(texts);
    bytes_.reserve(bytes);
  }
  /// Throws InputError beyond 4 GiB.
  void push_back(std::string_view text);
  std::size_t size() const { return ends_.size(); }
  std::string_view operator[](std::size_t i) const {
    std::size_t const begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }

 private:
  std::string bytes_;
  std::vector<std::uint32_t> ends_;
};

/// Text to token number, by open addressing: a third of the memory of std::unordered_map and one cache miss a look-up.
class TextIndex {
 public:
  void reserve(std::size_t texts);
  /// The first token with a text keeps it.
  void add(std::string_view text, TokenNumber token);
  TokenNumber find(std::string_view text) const;  ///< no_token: absent
  std::size_t longest_bytes() const { return longest_; }
  std::size_t size() const { return texts_.size(); }

 private:
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t entry = 0;  ///< 1 + index into texts_; 0: free
  };
  std::size_t slot_of(std::string_view text, std::uint32_t hash) const;
  void rehash(std::size_t slots);

  std::vector<Slot> slots_;
  TextList texts_;
  std::vector<TokenNumber> tokens_;
  std::size_t longest_ = 0;
};

struct Merge {
  std::uint32_t rank = 0;         ///< lower merges first
  TokenNumber result = no_token;  ///< no_token: the pair does not merge
};

/// Which pairs of neighbouring tokens merge into which token.
class MergeTable {
 public:
  void reserve(std::size_t merges);
  /// The first rule for a pair keeps it.
  void add(TokenNumber left, TokenNumber right, Merge merge);
  Merge find(TokenNumber left, TokenNumber right) const;

 private:
  struct Slot {
    std::uint64_t pair = ~std::uint64_t{0};
    Merge merge;
  };
  std::size_t slot_of(std::uint64_t pair) const;

  std::vector<Slot> slots_;
  std::size_t used_ = 0;
};

/// A prefix tree over bytes; its edges lie in one hash table.
class Trie {
 public:
  using Node = std::uint32_t;
  static constexpr Node root = 0, no_node = 0xFFFFFFFFu;

  void add(std::string_view text, TokenNumber token);
  Node child(Node node, unsigned char byte) const;
  TokenNumber token(Node node) const { return tokens_[node]; }
  bool begins(unsigned char byte) const { return first_bytes_[byte]; }

 private:
  struct Edge {
    std::uint64_t from = ~std::uint64_t{0};  ///< node * 256 + byte
    Node to = no_node;
  };
  std::size_t slot_of(std::uint64_t from) const;
  Node make_child(Node node, unsigned char byte);

  std::vector<Edge> edges_;
  std::vector<TokenNumber> tokens_{no_token};
  std::vector<bool> first_bytes_ = std::vector<bool>(256);
};

}  // namespace windlass
