#include "src/grammar/token_constraint.hpp"

#include <algorithm>

#include "src/core/error.hpp"

namespace windlass {
namespace {

constexpr std::size_t max_masks = 1000, max_kept = 32, large_states = 20'000;

void set_bit(TokenMask& mask, TokenId token) { mask[number(token) / 64] |= std::uint64_t{1} << (number(token) % 64); }

std::uint32_t shared_bytes(std::string_view a, std::string_view b) {
  return std::uint32_t(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

}  // namespace

SortedTokens::SortedTokens(Tokenizer const& tokenizer) : tokenizer_(&tokenizer) {
  for (std::uint32_t id = 0; id < std::uint32_t(tokenizer.vocab()); ++id)
    if (!tokenizer.is_special(TokenId(id)) && !tokenizer.bytes(TokenId(id)).empty())
      entries_.push_back({.token = TokenId(id)});
  std::sort(entries_.begin(), entries_.end(), [&](Entry const& a, Entry const& b) {
    int const order = tokenizer.bytes(a.token).compare(tokenizer.bytes(b.token));
    return order != 0 ? order < 0 : number(a.token) < number(b.token);
  });
  for (std::size_t i = 1; i < entries_.size(); ++i)
    entries_[i].shared_bytes = shared_bytes(tokenizer.bytes(entries_[i - 1].token), tokenizer.bytes(entries_[i].token));
}

TokenConstraint::TokenConstraint(std::shared_ptr<grammar::Grammar const> grammar,
                                 std::shared_ptr<SortedTokens const> tokens)
    : automaton_(std::move(grammar)), start_(automaton_.start()), tokens_(std::move(tokens)) {}

ConstraintPlace TokenConstraint::after(ConstraintPlace place, TokenId token) {
  std::lock_guard const lock(mutex_);
  Tokenizer const& tokenizer = tokens_->tokenizer();
  std::string_view bytes = tokenizer.bytes(token);
  if (tokenizer.is_special(token) || bytes.empty()) return place;
  if (place.at_start && tokenizer.drops_first_space() && bytes[0] == ' ') bytes.remove_prefix(1);
  for (char const byte : bytes) place.state = automaton_.next(place.state, static_cast<unsigned char>(byte));
  place.at_start = false;
  return place;
}

/// Marks the tokens that begin with `dropped` and fit behind it. The entries are in order, so those that begin alike
/// follow each other: each prefix is read once, and what does not fit is passed over with all that begins so.
void TokenConstraint::mark_from(ConstraintPlace place, std::string_view dropped, TokenMask& mask) {
  std::vector<grammar::State> path{place.state};  // after so many bytes of the entry
  auto const& entries = tokens_->entries();
  std::size_t dead_from = SIZE_MAX;  // the last entry's bytes fit up to here
  for (SortedTokens::Entry const& entry : entries) {
    std::string_view bytes = tokens_->tokenizer().bytes(entry.token);
    if (!bytes.starts_with(dropped)) {
      path.resize(1);
      dead_from = SIZE_MAX;
      continue;
    }
    bytes.remove_prefix(dropped.size());
    std::size_t shared = entry.shared_bytes > dropped.size() ? entry.shared_bytes - dropped.size() : 0;
    if (shared > dead_from) continue;
    shared = std::min(shared, path.size() - 1);
    path.resize(shared + 1);
    dead_from = SIZE_MAX;
    for (std::size_t i = shared; i < bytes.size(); ++i) {
      auto const next = automaton_.next(path.back(), static_cast<unsigned char>(bytes[i]));
      if (next == grammar::dead_state) {
        dead_from = i;
        break;
      }
      path.push_back(next);
    }
    if (dead_from == SIZE_MAX && !(bytes.empty() && place.state == grammar::dead_state)) set_bit(mask, entry.token);
  }
}

TokenMask TokenConstraint::make_mask(ConstraintPlace place) {
  TokenMask mask(std::size_t(tokens_->tokenizer().vocab() + 63) / 64);
  mark_from(place, "", mask);
  if (!place.at_start || !tokens_->tokenizer().drops_first_space()) return mask;
  // At the start, a token's first space is not part of the text.
  TokenMask spaced(mask.size());
  mark_from(place, " ", spaced);
  for (SortedTokens::Entry const& entry : tokens_->entries()) {
    if (!tokens_->tokenizer().bytes(entry.token).starts_with(' ')) continue;
    std::uint64_t const bit = std::uint64_t{1} << (number(entry.token) % 64);
    auto& word = mask[number(entry.token) / 64];
    word = (word & ~bit) | (spaced[number(entry.token) / 64] & bit);
  }
  return mask;
}

std::shared_ptr<TokenMask const> TokenConstraint::allowed(ConstraintPlace place) {
  std::lock_guard const lock(mutex_);
  std::uint64_t const key = std::uint64_t(place.state) * 2 + place.at_start;
  if (auto const known = masks_.find(key); known != masks_.end()) return known->second;
  if (masks_.size() >= max_masks) masks_.clear();
  return masks_[key] = std::make_shared<TokenMask const>(make_mask(place));
}

bool TokenConstraint::may_end(ConstraintPlace place) {
  std::lock_guard const lock(mutex_);
  return automaton_.accepts(place.state);
}

bool TokenConstraint::must_end(ConstraintPlace place) {
  std::lock_guard const lock(mutex_);
  return automaton_.accepts(place.state) && !automaton_.goes_on(place.state);
}

std::size_t TokenConstraint::states() {
  std::lock_guard const lock(mutex_);
  return automaton_.states();
}

std::shared_ptr<TokenConstraint> ConstraintCache::find(Constraint const& constraint) {
  if (!tokenizer_) throw InputError("this model has no tokenizer, so its text cannot be held to a form");
  auto const known =
      std::find_if(kept_.begin(), kept_.end(), [&](Kept const& kept) { return kept.constraint == constraint; });
  if (known != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, known);
    if (known->compiled->states() < large_states) return known->compiled;
    kept_.pop_front();
  }
  if (!tokens_) tokens_ = std::make_shared<SortedTokens const>(*tokenizer_);
  auto const grammar =
      constraint.compiled ? constraint.compiled : std::make_shared<grammar::Grammar const>(compile(constraint));
  auto compiled = std::make_shared<TokenConstraint>(grammar, tokens_);
  kept_.push_front({constraint, compiled});
  if (kept_.size() > max_kept) kept_.pop_back();
  return compiled;
}

}  // namespace windlass
