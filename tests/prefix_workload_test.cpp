/// PrefixIndex, SequencePages and PagePool together under random work: who may read which bytes.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "src/kv/block_identity.hpp"
#include "src/kv/page_pool.hpp"
#include "src/kv/prefix_index.hpp"

namespace windlass {
namespace {

constexpr KvShape small_shape{.layers = 1, .kv_heads = 1, .head_dim = 2, .format = KvFormat::bf16};

struct FullAndWindow {
  FullAndWindow(std::uint32_t pages, int window_tokens)
      : full({.shape = small_shape, .pages = pages}),
        window({.shape = small_shape, .pages = pages}),
        groups{LayerGroup{&full, 0}, LayerGroup{&window, window_tokens}} {}
  PagePool full, window;
  std::array<LayerGroup, 2> groups;
};

/// A random workload over few prompts and a small pool; every page says whose content it holds.
class RandomWorkload {
 public:
  explicit RandomWorkload(std::uint64_t kinds_of_hash) : pools_(40, 100), kinds_of_hash_(kinds_of_hash) {}

  void run(int steps) {
    for (int step = 0; step < steps; ++step) {
      if (!running_.empty() && running_.size() >= random_() % 8)
        finish(random_() % running_.size());
      else
        start();
      for (PagePool const* pool : {&pools_.full, &pools_.window}) ASSERT_LE(pool->used_pages(), 40u);
    }
    running_.clear();
    index_.clear();
    EXPECT_EQ(pools_.full.used_pages(), 0u);
    EXPECT_EQ(pools_.window.used_pages(), 0u);
  }
  PrefixIndex const& index() const { return index_; }

 private:
  struct Running {
    std::vector<TokenId> tokens;
    std::vector<Hash128> hashes;  ///< weak ones
    SequencePages pages;
  };

  std::vector<TokenId> random_prompt() {
    std::vector<TokenId> tokens;
    for (std::uint64_t block = 0, blocks = 1 + random_() % 6; block < blocks; ++block)
      tokens.insert(tokens.end(), block_tokens, TokenId(random_() % 3));
    return tokens;
  }

  std::vector<Hash128> weak_hashes(std::span<TokenId const> tokens) const {
    std::vector<Hash128> hashes;
    Hash128 last;
    for (std::size_t at = 0; at < tokens.size(); at += block_tokens) {
      last = {.low = block_hash(tokens.subspan(at, block_tokens), last).low % kinds_of_hash_, .high = 0};
      hashes.push_back(last);
    }
    return hashes;
  }

  /// What block `index` of the sequence must hold.
  static std::uint64_t content(std::span<TokenId const> tokens, int index) {
    return hash_bytes(std::as_bytes(tokens.first(std::size_t(index + 1) * block_tokens))).low;
  }

  void check_or_write(Running& sequence, int block, bool is_new) {
    BlockPages const pages = sequence.pages.block(block);
    for (std::size_t group = 0; group < 2; ++group) {
      if (!pages[group]) continue;
      auto const bytes = pools_.groups[group].pool->bytes(*pages[group]);
      std::uint64_t expected = content(sequence.tokens, block), found = 0;
      std::memcpy(&found, bytes.data(), 8);
      ASSERT_EQ(found, is_new ? 0 : expected);
      std::memcpy(bytes.data(), &expected, 8);
    }
  }

  void start() {
    Running sequence{random_prompt(), {}, SequencePages(pools_.groups)};
    sequence.hashes = weak_hashes(sequence.tokens);
    auto match = index_.match(sequence.tokens, sequence.hashes);
    sequence.pages.adopt(match.blocks);
    for (int block = 0; block < match.cursor.blocks; ++block) check_or_write(sequence, block, false);
    int const positions = int(sequence.tokens.size());
    for (int group = 0; group < 2; ++group) {
      int const free = int(pools_.groups[std::size_t(group)].pool->free_pages());
      index_.evict(group, sequence.pages.missing_blocks(positions) - free);
    }
    if (!sequence.pages.ensure_positions(positions)) return;
    for (int block = match.cursor.blocks; block < sequence.pages.blocks(); ++block)
      check_or_write(sequence, block, true);
    index_.insert(match.cursor, sequence.tokens, sequence.hashes, sequence.pages);
    sequence.pages.drop_behind_window(positions);
    running_.push_back(std::move(sequence));
  }

  void finish(std::size_t i) {
    for (int block = 0; block < running_[i].pages.blocks(); ++block) check_or_write(running_[i], block, false);
    std::swap(running_[i], running_.back());
    running_.pop_back();
  }

  FullAndWindow pools_;
  std::uint64_t kinds_of_hash_;
  std::mt19937_64 random_{5};
  PrefixIndex index_{pools_.groups};
  std::vector<Running> running_;
};

TEST(PrefixWorkload, RandomWorkBalancesReferencesAndReusesWhatItEvicts) {
  RandomWorkload workload(~0ull);

  workload.run(4000);

  EXPECT_GT(workload.index().counters().hit_blocks, 1000);
  EXPECT_GT(workload.index().counters().evicted_pages, 1000);
  EXPECT_EQ(workload.index().counters().collisions, 0);
}

TEST(PrefixWorkload, RandomWorkWithCollidingHashesNeverReadsForeignContent) {
  RandomWorkload workload(20);

  workload.run(4000);

  EXPECT_GT(workload.index().counters().hit_blocks, 1000);
  EXPECT_GT(workload.index().counters().collisions, 1000);
}

}  // namespace
}  // namespace windlass
