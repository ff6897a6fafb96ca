#include "src/model/tokenizer/vocabulary.hpp"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <utility>

#include "src/core/error.hpp"

namespace windlass {

namespace {
/// The finaliser of SplitMix64: every bit of the input moves every bit of the output.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

std::size_t slots_for(std::size_t entries) { return std::bit_ceil(std::max<std::size_t>(16, entries * 2)); }
}  // namespace

void TextList::push_back(std::string_view text) {
  if (text.size() > std::numeric_limits<std::uint32_t>::max() - bytes_.size())
    throw InputError("tokenizer: the vocabulary's texts are larger than 4 GiB; the file is damaged");
  bytes_ += text;
  ends_.push_back(std::uint32_t(bytes_.size()));
}

void TextIndex::reserve(std::size_t texts) {
  texts_.reserve(texts, texts * 8);
  tokens_.reserve(texts);
  if (slots_for(texts) > slots_.size()) rehash(slots_for(texts));
}

std::size_t TextIndex::slot_of(std::string_view text, std::uint32_t hash) const {
  std::size_t slot = hash & (slots_.size() - 1);
  while (slots_[slot].entry != 0 && !(slots_[slot].hash == hash && texts_[slots_[slot].entry - 1] == text))
    slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

void TextIndex::rehash(std::size_t slots) {
  std::vector<Slot> const old = std::exchange(slots_, std::vector<Slot>(slots));
  for (Slot const& entry : old) {
    if (entry.entry == 0) continue;
    std::size_t slot = entry.hash & (slots - 1);
    while (slots_[slot].entry != 0) slot = (slot + 1) & (slots - 1);
    slots_[slot] = entry;
  }
}

void TextIndex::add(std::string_view text, TokenNumber token) {
  if ((texts_.size() + 1) * 2 > slots_.size()) rehash(slots_for(texts_.size() + 1) * 2);
  auto const hash = std::uint32_t(std::hash<std::string_view>{}(text));
  std::size_t const slot = slot_of(text, hash);
  if (slots_[slot].entry != 0) return;
  texts_.push_back(text);
  tokens_.push_back(token);
  slots_[slot] = {hash, std::uint32_t(texts_.size())};
  longest_ = std::max(longest_, text.size());
}

TokenNumber TextIndex::find(std::string_view text) const {
  if (slots_.empty() || text.size() > longest_) return no_token;
  Slot const& slot = slots_[slot_of(text, std::uint32_t(std::hash<std::string_view>{}(text)))];
  return slot.entry == 0 ? no_token : tokens_[slot.entry - 1];
}

void MergeTable::reserve(std::size_t merges) {
  ensure(used_ == 0, "a merge table is sized before it is filled");
  slots_.assign(slots_for(merges), Slot{});
}

std::size_t MergeTable::slot_of(std::uint64_t pair) const {
  std::size_t slot = mix(pair) & (slots_.size() - 1);
  while (slots_[slot].pair != pair && slots_[slot].pair != Slot{}.pair) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

void MergeTable::add(TokenNumber left, TokenNumber right, Merge merge) {
  ensure((used_ + 1) * 2 <= slots_.size(), "a merge table takes as many merges as were reserved");
  std::uint64_t const pair = std::uint64_t(left) << 32 | right;
  Slot& slot = slots_[slot_of(pair)];
  if (slot.pair == pair) return;
  slot = {pair, merge};
  ++used_;
}

Merge MergeTable::find(TokenNumber left, TokenNumber right) const {
  if (slots_.empty() || left == no_token || right == no_token) return {};
  return slots_[slot_of(std::uint64_t(left) << 32 | right)].merge;
}

std::size_t Trie::slot_of(std::uint64_t from) const {
  std::size_t slot = mix(from) & (edges_.size() - 1);
  while (edges_[slot].from != from && edges_[slot].to != no_node) slot = (slot + 1) & (edges_.size() - 1);
  return slot;
}

Trie::Node Trie::child(Node node, unsigned char byte) const {
  return edges_.empty() ? no_node : edges_[slot_of(std::uint64_t(node) << 8 | byte)].to;
}

Trie::Node Trie::make_child(Node node, unsigned char byte) {
  std::uint64_t const from = std::uint64_t(node) << 8 | byte;
  if (Node const existing = child(node, byte); existing != no_node) return existing;
  if (tokens_.size() * 2 >= edges_.size()) {
    std::vector<Edge> const old = std::exchange(edges_, std::vector<Edge>(slots_for(tokens_.size()) * 2));
    for (Edge const& edge : old)
      if (edge.to != no_node) edges_[slot_of(edge.from)] = edge;
  }
  Node const made = Node(tokens_.size());
  edges_[slot_of(from)] = {from, made};
  tokens_.push_back(no_token);
  return made;
}

void Trie::add(std::string_view text, TokenNumber token) {
  if (text.empty()) return;
  Node node = root;
  for (char const c : text) node = make_child(node, static_cast<unsigned char>(c));
  if (tokens_[node] == no_token) tokens_[node] = token;
  first_bytes_[static_cast<unsigned char>(text[0])] = true;
}

}  // namespace windlass
