#include "src/kv/sequence_pages.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "src/kv/page_pool.hpp"

namespace windlass {
namespace {

constexpr KvShape small_shape{.layers = 1, .kv_heads = 1, .head_dim = 2, .format = KvFormat::bf16};

/// A full-attention group and one with a window of 100 tokens.
struct TwoGroups {
  explicit TwoGroups(std::uint32_t pages)
      : full({.shape = small_shape, .pages = pages}), window({.shape = small_shape, .pages = pages}) {}
  PagePool full, window;
  std::array<LayerGroup, 2> groups{LayerGroup{&full, 0}, LayerGroup{&window, 100}};
};

TEST(LayerGroup, AWindowStartsAtTheBlockOfItsFirstPosition) {
  EXPECT_EQ(first_visible_block(1000, 0), 0);
  EXPECT_EQ(first_visible_block(10, 100), 0);
  EXPECT_EQ(first_visible_block(127, 64), 1);  // 64 .. 127
  EXPECT_EQ(first_visible_block(127, 65), 0);  // 63 .. 127
  EXPECT_EQ(first_visible_block(128, 1), 2);
}

TEST(SequencePages, HasAPageForEveryBlockUpToThePosition) {
  TwoGroups pools(8);
  SequencePages pages(pools.groups);

  ASSERT_TRUE(pages.ensure_positions(64));
  EXPECT_EQ(pages.blocks(), 1);
  ASSERT_TRUE(pages.ensure_positions(65));
  ASSERT_TRUE(pages.ensure_positions(65));

  EXPECT_EQ(pages.blocks(), 2);
  EXPECT_EQ(pools.full.used_pages(), 2u);
  EXPECT_EQ(pools.full.references(PageId{pages.table(0)[1]}), 1u);
}

TEST(SequencePages, TakesNothingWhereOnePoolIsShort) {
  TwoGroups pools(4);
  auto const taken = pools.window.allocate();
  SequencePages pages(pools.groups);

  EXPECT_FALSE(pages.ensure_positions(4 * 64));

  EXPECT_TRUE(taken);
  EXPECT_EQ(pages.blocks(), 0);
  EXPECT_EQ(pools.full.used_pages(), 0u);
}

TEST(SequencePages, DropsOnlyWindowPagesAndOnlyThoseBehind) {
  TwoGroups pools(8);
  SequencePages pages(pools.groups);
  ASSERT_TRUE(pages.ensure_positions(300));

  pages.drop_behind_window(230);  // sees 131 .. 230: blocks 2 and 3
  pages.drop_behind_window(100);  // sees less than was dropped: nothing comes back, nothing goes

  EXPECT_EQ(pages.first_block(0), 0);
  EXPECT_EQ(pages.first_block(1), 2);
  EXPECT_EQ(pools.full.used_pages(), 5u);
  EXPECT_EQ(pools.window.used_pages(), 3u);
  EXPECT_FALSE(pages.block(1)[1]);
  EXPECT_TRUE(pages.block(1)[0] && pages.block(2)[1]);
}

TEST(SequencePages, AForkSharesFullBlocksAndCopiesThePartialOne) {
  TwoGroups pools(8);
  SequencePages pages(pools.groups);
  ASSERT_TRUE(pages.ensure_positions(3 * 64));
  std::ranges::fill(pools.full.bytes(*pages.block(1)[0]), std::byte{42});

  auto const fork = pages.fork(100);

  ASSERT_TRUE(fork);
  EXPECT_EQ(fork->blocks(), 2);
  EXPECT_EQ(fork->block(0), pages.block(0));
  EXPECT_NE(fork->block(1)[0], pages.block(1)[0]);
  EXPECT_EQ(pools.full.bytes(*fork->block(1)[0])[5], std::byte{42});
  EXPECT_EQ(pools.full.references(*pages.block(0)[0]), 2u);
  EXPECT_EQ(pools.full.references(*pages.block(1)[0]), 1u);
}

TEST(SequencePages, AForkAtABlockBorderCopiesNothing) {
  TwoGroups pools(2);
  SequencePages pages(pools.groups);
  ASSERT_TRUE(pages.ensure_positions(128));

  auto const fork = pages.fork(128);

  ASSERT_TRUE(fork);
  EXPECT_EQ(fork->block(1), pages.block(1));
  EXPECT_FALSE(pages.fork(100)) << "no free page for the copy";
  EXPECT_EQ(pools.full.references(*pages.block(0)[0]), 2u);
}

TEST(SequencePages, AForkOfDroppedPagesKeepsThemDropped) {
  TwoGroups pools(8);
  SequencePages pages(pools.groups);
  ASSERT_TRUE(pages.ensure_positions(300));
  pages.drop_behind_window(299);

  auto const fork = pages.fork(299);

  ASSERT_TRUE(fork);
  EXPECT_EQ(fork->first_block(1), pages.first_block(1));
  EXPECT_EQ(pools.window.references(*pages.block(3)[1]), 2u);
}

TEST(SequencePages, AdoptedPagesAreReleasedLikeItsOwn) {
  TwoGroups pools(4);
  BlockPages const first{pools.full.allocate(), std::nullopt}, second{pools.full.allocate(), pools.window.allocate()};
  {
    SequencePages pages(pools.groups);
    pages.adopt(std::array{first, second});
    ASSERT_TRUE(pages.ensure_positions(130));

    EXPECT_EQ(pages.first_block(1), 1);
    EXPECT_EQ(pages.block(1), second);
    SequencePages const moved = std::move(pages);
    EXPECT_EQ(moved.blocks(), 3);
  }
  EXPECT_EQ(pools.full.used_pages(), 0u);
  EXPECT_EQ(pools.window.used_pages(), 0u);
}

TEST(SequencePages, RandomUseNeitherLosesNorSharesAPage) {
  TwoGroups pools(60);
  std::mt19937_64 random(3);
  std::vector<SequencePages> sequences;
  std::vector<int> positions;

  for (int step = 0; step < 5000; ++step) {
    std::size_t const i = sequences.empty() ? 0 : random() % sequences.size();
    switch (random() % 5) {
      case 0:
        sequences.emplace_back(pools.groups);
        positions.push_back(0);
        break;
      case 1:
        if (sequences.empty()) break;
        std::swap(sequences[i], sequences.back());
        std::swap(positions[i], positions.back());
        sequences.pop_back();
        positions.pop_back();
        break;
      case 2:
        if (sequences.empty()) break;
        if (auto fork = sequences[i].fork(positions[i])) {
          sequences.push_back(std::move(*fork));
          positions.push_back(positions[i]);
        }
        break;
      default:
        if (sequences.empty()) break;
        int const grown = positions[i] + int(random() % 150);
        if (sequences[i].ensure_positions(grown)) positions[i] = grown;
        sequences[i].drop_behind_window(positions[i]);
    }
    std::array<std::vector<std::uint32_t>, 2> references{std::vector<std::uint32_t>(60),
                                                         std::vector<std::uint32_t>(60)};
    for (auto const& sequence : sequences)
      for (int block = 0; block < sequence.blocks(); ++block)
        for (std::size_t group = 0; group < 2; ++group)
          if (auto const page = sequence.block(block)[group]) ++references[group][number(*page)];
    for (std::uint32_t page = 0; page < 60; ++page) {
      ASSERT_EQ(pools.full.references(PageId{page}), references[0][page]);
      ASSERT_EQ(pools.window.references(PageId{page}), references[1][page]);
    }
  }
}

}  // namespace
}  // namespace windlass
