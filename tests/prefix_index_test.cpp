#include "src/kv/prefix_index.hpp"

#include <gtest/gtest.h>

#include "src/kv/block_identity.hpp"
#include "src/kv/page_pool.hpp"

namespace windlass {
namespace {

constexpr KvShape small_shape{.layers = 1, .kv_heads = 1, .head_dim = 2, .format = KvFormat::bf16};

struct OneGroup {
  explicit OneGroup(std::uint32_t pages) : pool({.shape = small_shape, .pages = pages}) {}
  PagePool pool;
  std::array<LayerGroup, 1> groups{LayerGroup{&pool, 0}};
};

struct FullAndWindow {
  FullAndWindow(std::uint32_t pages, int window_tokens)
      : full({.shape = small_shape, .pages = pages}),
        window({.shape = small_shape, .pages = pages}),
        groups{LayerGroup{&full, 0}, LayerGroup{&window, window_tokens}} {}
  PagePool full, window;
  std::array<LayerGroup, 2> groups;
};

/// `blocks` blocks of equal tokens, block i of value `first + i`.
std::vector<TokenId> example_tokens(int first, int blocks) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < blocks * block_tokens; ++i) tokens.push_back(TokenId(first + i / block_tokens));
  return tokens;
}

std::vector<Hash128> names(std::span<TokenId const> tokens) { return block_hashes(tokens, {}); }

/// Computes and indexes a sequence, and lets go of it.
void index_sequence(PrefixIndex& index, std::span<LayerGroup const> groups, std::span<TokenId const> tokens) {
  SequencePages pages(groups);
  ASSERT_TRUE(pages.ensure_positions(int(tokens.size())));
  PrefixCursor cursor;
  index.insert(cursor, tokens, names(tokens), pages);
}

int matched_blocks(PrefixIndex& index, std::span<LayerGroup const> groups, std::span<TokenId const> tokens) {
  SequencePages pages(groups);
  auto const match = index.match(tokens, names(tokens));
  pages.adopt(match.blocks);
  return int(match.blocks.size());
}

TEST(PrefixIndex, FindsTheLongestCommonPrefixAndRetainsItsPages) {
  OneGroup pools(16);
  PrefixIndex index(pools.groups);
  auto const tokens = example_tokens(0, 4);
  index_sequence(index, pools.groups, tokens);
  auto other = tokens;
  other[2 * block_tokens + 5] = TokenId{999};

  auto const match = index.match(other, names(other));

  ASSERT_EQ(match.blocks.size(), 2u);
  EXPECT_EQ(match.cursor.blocks, 2);
  EXPECT_EQ(pools.pool.references(*match.blocks[0][0]), 2u);
  EXPECT_EQ(pools.pool.used_pages(), 4u);
  EXPECT_EQ(index.counters().hit_blocks, 2);
  EXPECT_EQ(index.counters().missed_blocks, 2);
  for (auto const& block : match.blocks) pools.pool.release(*block[0]);
}

TEST(PrefixIndex, ABlockComputedTwiceKeepsItsFirstPage) {
  OneGroup pools(16);
  PrefixIndex index(pools.groups);
  auto const tokens = example_tokens(0, 2);
  index_sequence(index, pools.groups, tokens);

  index_sequence(index, pools.groups, tokens);

  EXPECT_EQ(index.blocks(), 2u);
  EXPECT_EQ(pools.pool.used_pages(), 2u);
}

TEST(PrefixIndex, GoesOnFromTheCursor) {
  OneGroup pools(16);
  PrefixIndex index(pools.groups);
  auto const tokens = example_tokens(0, 3);
  auto const hashes = names(tokens);
  SequencePages pages(pools.groups);
  ASSERT_TRUE(pages.ensure_positions(3 * block_tokens));
  PrefixCursor cursor;

  EXPECT_EQ(index.insert(cursor, tokens, std::span(hashes).first(1), pages), 1);
  EXPECT_EQ(index.insert(cursor, tokens, hashes, pages), 2);
  EXPECT_EQ(index.insert(cursor, tokens, hashes, pages), 0);

  EXPECT_EQ(cursor.blocks, 3);
  EXPECT_EQ(matched_blocks(index, pools.groups, tokens), 3);
}

TEST(PrefixIndex, AStaleCursorStartsAgain) {
  OneGroup pools(16);
  PrefixIndex index(pools.groups);
  auto const tokens = example_tokens(0, 2);
  auto const hashes = names(tokens);
  SequencePages pages(pools.groups);
  ASSERT_TRUE(pages.ensure_positions(2 * block_tokens));
  PrefixCursor cursor;
  index.insert(cursor, tokens, std::span(hashes).first(1), pages);
  index.clear();

  EXPECT_EQ(index.insert(cursor, tokens, hashes, pages), 2);

  EXPECT_EQ(matched_blocks(index, pools.groups, tokens), 2);
}

TEST(PrefixIndex, EvictsTheLeafUsedLongestAgoAndNeverAParentBeforeItsChild) {
  OneGroup pools(16);
  PrefixIndex index(pools.groups);
  auto const a = example_tokens(0, 3), b = example_tokens(100, 2), c = example_tokens(200, 1);
  index_sequence(index, pools.groups, a);
  index_sequence(index, pools.groups, b);
  index_sequence(index, pools.groups, c);
  EXPECT_EQ(matched_blocks(index, pools.groups, a), 3);  // now b is the oldest

  EXPECT_EQ(index.evict(0, 1), 1);
  EXPECT_EQ(matched_blocks(index, pools.groups, std::span(b).first(64)), 1);  // and now c is
  EXPECT_EQ(matched_blocks(index, pools.groups, a), 3);
  EXPECT_EQ(index.evict(0, 1), 1);
  EXPECT_EQ(matched_blocks(index, pools.groups, c), 0);
  EXPECT_EQ(index.evict(0, 2), 2);

  EXPECT_EQ(matched_blocks(index, pools.groups, b), 0);
  EXPECT_EQ(matched_blocks(index, pools.groups, a), 2);
  EXPECT_EQ(index.counters().evicted_pages, 4);
}

TEST(PrefixIndex, NeverEvictsWhatASequenceUses) {
  OneGroup pools(4);
  PrefixIndex index(pools.groups);
  auto const a = example_tokens(0, 2), b = example_tokens(100, 2);
  index_sequence(index, pools.groups, a);
  index_sequence(index, pools.groups, b);
  SequencePages reader(pools.groups);
  reader.adopt(index.match(a, names(a)).blocks);

  EXPECT_EQ(index.evict(0, 100), 2);

  EXPECT_EQ(pools.pool.used_pages(), 2u);
  EXPECT_EQ(index.evict(0, 100), 0);
  reader.release_all();
  EXPECT_EQ(index.evict(0, 100), 2);
  EXPECT_EQ(pools.pool.used_pages(), 0u);
  EXPECT_EQ(index.blocks(), 0u);
}

TEST(PrefixIndex, EqualHashesOfUnlikeContentNeverMatch) {
  OneGroup pools(16);
  PrefixIndex index(pools.groups);
  auto const a = example_tokens(0, 3);
  auto b = a;
  b[0] = TokenId{77};  // the first block differs, the others are equal, and so are all names
  auto const hashes = names(a);
  index_sequence(index, pools.groups, a);

  EXPECT_TRUE(index.match(b, hashes).blocks.empty());

  SequencePages pages(pools.groups);
  ASSERT_TRUE(pages.ensure_positions(3 * block_tokens));
  PrefixCursor cursor;
  EXPECT_EQ(index.insert(cursor, b, hashes, pages), 0);
  EXPECT_EQ(cursor.blocks, 0);
  EXPECT_EQ(index.counters().collisions, 2);
  EXPECT_EQ(matched_blocks(index, pools.groups, a), 3);
}

TEST(UsableBlocks, AWindowNeedsOnlyItsOwnLastBlocks) {
  BlockPages const both{PageId{0}, PageId{0}}, full_only{PageId{0}, std::nullopt};
  std::array const groups{LayerGroup{nullptr, 0}, LayerGroup{nullptr, 65}};

  EXPECT_EQ(usable_blocks({}, groups), 0);
  EXPECT_EQ(usable_blocks(std::array{both, both}, groups), 2);
  EXPECT_EQ(usable_blocks(std::array{full_only, both}, groups), 2);  // position 128 sees 64 .. 128
  EXPECT_EQ(usable_blocks(std::array{both, full_only}, groups), 1);
  EXPECT_EQ(usable_blocks(std::array{full_only, full_only}, groups), 0);
  EXPECT_EQ(usable_blocks(std::array{both, full_only, both}, groups), 3);
  EXPECT_EQ(usable_blocks(std::array{BlockPages{}, both}, groups), 0);  // full attention has a gap

  std::array const wide{LayerGroup{nullptr, 0}, LayerGroup{nullptr, 66}};  // position 128 sees 63 .. 128
  EXPECT_EQ(usable_blocks(std::array{full_only, both}, wide), 0);
  std::array const narrow{LayerGroup{nullptr, 0}, LayerGroup{nullptr, 1}};  // a row sees itself alone
  EXPECT_EQ(usable_blocks(std::array{full_only, full_only}, narrow), 2);
}

TEST(PrefixIndex, WindowPagesGoOldestFirstAndTheBlocksStay) {
  FullAndWindow pools(16, 65);
  PrefixIndex index(pools.groups);
  auto const tokens = example_tokens(0, 4);
  index_sequence(index, pools.groups, tokens);

  EXPECT_EQ(index.evict(1, 2), 2);

  EXPECT_EQ(pools.full.used_pages(), 4u);
  EXPECT_EQ(pools.window.used_pages(), 2u);
  EXPECT_EQ(matched_blocks(index, pools.groups, tokens), 4);  // needs the window page of block 3 alone
  EXPECT_EQ(matched_blocks(index, pools.groups, std::span(tokens).first(128)), 0);
  EXPECT_EQ(index.evict(1, 9), 2);
  EXPECT_EQ(matched_blocks(index, pools.groups, tokens), 0);
}

TEST(PrefixIndex, AMatchRetainsOnlyTheWindowPagesThatAreVisible) {
  FullAndWindow pools(16, 65);
  PrefixIndex index(pools.groups);
  auto const tokens = example_tokens(0, 4);
  index_sequence(index, pools.groups, tokens);

  SequencePages reader(pools.groups);
  reader.adopt(index.match(tokens, names(tokens)).blocks);

  EXPECT_EQ(reader.first_block(1), 3);
  EXPECT_EQ(index.evict(1, 9), 3);
}

TEST(PrefixIndex, ARecomputedBlockGainsTheWindowPageThatItLacked) {
  FullAndWindow pools(16, 65);
  PrefixIndex index(pools.groups);
  auto const tokens = example_tokens(0, 2);
  index_sequence(index, pools.groups, tokens);
  index.evict(1, 2);

  index_sequence(index, pools.groups, tokens);

  EXPECT_EQ(index.blocks(), 2u);
  EXPECT_EQ(pools.full.used_pages(), 2u);
  EXPECT_EQ(matched_blocks(index, pools.groups, tokens), 2);
}

TEST(PrefixIndex, WithoutFullAttentionAnEmptyBlockIsForgotten) {
  PagePool pool({.shape = small_shape, .pages = 8});
  std::array const groups{LayerGroup{&pool, 100}};
  PrefixIndex index(groups);
  auto const tokens = example_tokens(0, 3);
  index_sequence(index, groups, tokens);

  EXPECT_EQ(index.evict(0, 8), 3);

  EXPECT_EQ(index.blocks(), 0u);
  EXPECT_EQ(pool.used_pages(), 0u);
}

}  // namespace
}  // namespace windlass
