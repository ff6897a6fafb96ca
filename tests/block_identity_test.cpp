#include "src/kv/block_identity.hpp"

#include <gtest/gtest.h>

#include <set>

namespace windlass {
namespace {

std::vector<TokenId> counting_tokens(int count) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < count; ++i) tokens.push_back(TokenId(i));
  return tokens;
}

TEST(BlockIdentity, OnlyFullBlocksHaveANameAndItDoesNotDependOnWhatFollows) {
  Hash128 const seed = seed_of({.model = "m"});
  auto const tokens = counting_tokens(200);

  auto const of_200 = block_hashes(tokens, seed);
  auto const of_64 = block_hashes(std::span(tokens).first(64), seed);

  EXPECT_EQ(of_200.size(), 3u);
  EXPECT_EQ(of_64, std::vector{of_200[0]});
  EXPECT_TRUE(block_hashes(std::span(tokens).first(63), seed).empty());
}

TEST(BlockIdentity, AnyTokenChangesItsBlockAndAllLaterOnes) {
  Hash128 const seed = seed_of({.model = "m"});
  auto tokens = counting_tokens(256);
  auto const before = block_hashes(tokens, seed);
  tokens[64] = TokenId{7};

  auto const after = block_hashes(tokens, seed);

  EXPECT_EQ(after[0], before[0]);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_NE(after[i], before[i]);
}

TEST(BlockIdentity, EqualTokensAtAnotherPlaceHaveAnotherName) {
  std::vector<TokenId> const tokens(192, TokenId{5});

  auto const hashes = block_hashes(tokens, seed_of({}));

  EXPECT_EQ((std::set(hashes.begin(), hashes.end()).size()), 3u);
}

TEST(BlockIdentity, EveryPartOfTheSaltMatters) {
  std::set<Hash128> const seeds{
      seed_of({}),
      seed_of({.tenant = "a"}),
      seed_of({.model = "a"}),
      seed_of({.arithmetic = "a"}),
      seed_of({.kv_format = KvFormat::bf16}),
      seed_of({.tenant = "ab", .model = "c"}),
      seed_of({.tenant = "a", .model = "bc"}),
  };

  EXPECT_EQ(seeds.size(), 7u);
}

TEST(BlockIdentity, ExtendingGivesTheSameNamesAsStartingOver) {
  Hash128 const seed = seed_of({.tenant = "t"});
  auto const tokens = counting_tokens(300);
  std::vector<Hash128> hashes;

  for (std::size_t length = 0; length <= tokens.size(); length += 50)
    extend_block_hashes(hashes, std::span(tokens).first(length), seed);

  EXPECT_EQ(hashes, block_hashes(tokens, seed));
}

TEST(BlockIdentity, NamesAreStableAcrossVersionsOfTheProgram) {
  auto const hashes = block_hashes(counting_tokens(64), seed_of({.tenant = "t", .model = "m", .arithmetic = "a"}));

  EXPECT_EQ(to_hex(hashes.at(0)), "11ede5623dfc0e657a5c202fabea73f6");
}

}  // namespace
}  // namespace windlass
