/// A constraint in terms of a vocabulary: which tokens may come next.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "src/grammar/byte_automaton.hpp"
#include "src/grammar/constraint.hpp"
#include "src/model/tokenizer.hpp"

namespace windlass {

/// A tokenizer's texts in the order of their bytes. Special tokens have no text here.
class SortedTokens {
 public:
  /// The tokenizer must outlive it.
  explicit SortedTokens(Tokenizer const& tokenizer);

  struct Entry {
    TokenId token{};
    std::uint32_t shared_bytes = 0;  ///< with the entry before
  };
  std::vector<Entry> const& entries() const { return entries_; }
  Tokenizer const& tokenizer() const { return *tokenizer_; }

 private:
  Tokenizer const* tokenizer_;
  std::vector<Entry> entries_;
};

/// One bit per token, set where it may come next.
using TokenMask = std::vector<std::uint64_t>;

/// Where a text stands in its grammar.
struct ConstraintPlace {
  grammar::State state = grammar::dead_state;
  bool at_start = true;  ///< no byte yet: some tokenizers drop a space there
};

/// Safe from any thread; what has been found out serves all.
class TokenConstraint {
 public:
  TokenConstraint(std::shared_ptr<grammar::Grammar const> grammar, std::shared_ptr<SortedTokens const> tokens);

  ConstraintPlace start() const { return {.state = start_}; }
  /// Behind `token`; a special token changes nothing.
  ConstraintPlace after(ConstraintPlace place, TokenId token);
  /// Without the tokens that end a text.
  std::shared_ptr<TokenMask const> allowed(ConstraintPlace place);
  bool may_end(ConstraintPlace place);   ///< the text is complete
  bool must_end(ConstraintPlace place);  ///< and nothing can follow
  /// Grows with what was read; a constraint that is kept for many requests is made anew when it is large.
  std::size_t states();

 private:
  TokenMask make_mask(ConstraintPlace place);
  void mark_from(ConstraintPlace place, std::string_view dropped, TokenMask& mask);

  std::mutex mutex_;
  grammar::ByteAutomaton automaton_;
  grammar::State start_;
  std::shared_ptr<SortedTokens const> tokens_;
  std::unordered_map<std::uint64_t, std::shared_ptr<TokenMask const>> masks_;  // by place
};

/// The constraints of an engine's requests: equal ones are compiled once.
class ConstraintCache {
 public:
  /// `tokenizer` may be null: then nothing can be constrained.
  explicit ConstraintCache(Tokenizer const* tokenizer) : tokenizer_(tokenizer) {}

  /// Throws InputError.
  std::shared_ptr<TokenConstraint> find(Constraint const& constraint);

 private:
  struct Kept {
    Constraint constraint;
    std::shared_ptr<TokenConstraint> compiled;
  };
  Tokenizer const* tokenizer_;
  std::shared_ptr<SortedTokens const> tokens_;
  std::list<Kept> kept_;  // last used first
};

}  // namespace windlass
