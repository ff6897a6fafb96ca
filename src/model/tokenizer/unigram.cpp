#include <algorithm>
#include <limits>

#include "src/model/tokenizer/fallback.hpp"
#include "src/model/tokenizer/unicode.hpp"
#include "src/model/tokenizer/word_model.hpp"

namespace windlass {

namespace {
/// The best division of the word's beginning up to one place.
struct BestPath {
  double score = -std::numeric_limits<double>::infinity();
  std::uint32_t begin = 0;  ///< of its last token
  TokenNumber token = no_token;
};

void offer(BestPath& best, BestPath const& candidate) {
  if (candidate.score > best.score) best = candidate;
}
}  // namespace

void Unigram::encode(std::string_view word, WordScratch& scratch, std::vector<TokenNumber>& out) const {
  std::vector<BestPath> best(word.size() + 1);
  best[0].score = 0;
  for (std::uint32_t begin = 0; begin < word.size();) {
    auto const end = begin + std::uint32_t(utf8_length(static_cast<unsigned char>(word[begin])));
    bool has_single = false;
    Trie::Node node = Trie::root;
    for (std::uint32_t i = begin; i < word.size(); ++i) {
      node = tables_.trie.child(node, static_cast<unsigned char>(word[i]));
      if (node == Trie::no_node) break;
      TokenNumber const token = tables_.trie.token(node);
      if (token == no_token) continue;
      offer(best[i + 1], {best[begin].score + tables_.scores[token], begin, token});
      has_single = has_single || i + 1 == end;
    }
    if (!has_single) offer(best[end], {best[begin].score + tables_.unknown_score, begin, no_token});
    begin = end;
  }
  auto& symbols = scratch.symbols;
  symbols.clear();
  for (auto end = std::uint32_t(word.size()); end > 0; end = best[end].begin)
    symbols.push_back({best[end].token, best[end].begin, end});
  std::reverse(symbols.begin(), symbols.end());
  append_with_fallback(word, symbols, tables_.fallback, out);
}

}  // namespace windlass
