/// Prefix caches in tiers: where blocks go, and what tiers bring a cluster.
#include "src/sim/tiered_cache.hpp"

#include <gtest/gtest.h>

#include "src/sim/cache_cluster.hpp"

namespace windlass {
namespace {

using Hashes = std::vector<std::uint64_t>;

TEST(TieredCache, WhatOneTierDropsGoesToTheNextAndUseBringsItBack) {
  TieredCache cache({2, 2}, EvictionRule::least_recent);

  cache.insert(Hashes{1, 2});
  cache.insert(Hashes{3});  // 1 is the oldest
  EXPECT_EQ(cache.tiers_of(Hashes{1, 2}), (std::vector<std::uint8_t>{1, 0}));
  cache.insert(Hashes{1});  // back on the device; 2 goes down
  EXPECT_EQ(cache.tiers_of(Hashes{1, 2, 3}), (std::vector<std::uint8_t>{0, 1, 0}));
  cache.insert(Hashes{4});
  cache.insert(Hashes{5});  // 3 and 1 go down, and push 2 out
  EXPECT_EQ(cache.match(Hashes{2}), 0u);
  EXPECT_EQ(cache.match(Hashes{3, 1}), 2u);
}

TEST(TieredCache, NeverHoldsABlockTwiceOrMoreThanItsPools) {
  TieredCache cache({5, 7, 11}, EvictionRule::least_frequent);
  RandomStream random(1, 1);
  for (int round = 0; round < 2000; ++round) {
    Hashes prompt(1 + random.below(8));
    std::uint64_t const document = random.below(20) * 100;
    for (std::size_t i = 0; i < prompt.size(); ++i) prompt[i] = document + i;

    cache.insert(prompt);

    EXPECT_LE(cache.size(0), 5u);
    EXPECT_LE(cache.size(1), 7u);
    EXPECT_LE(cache.size(2), 11u);
  }
  std::size_t found = 0;
  for (std::uint64_t document = 0; document < 20; ++document)
    for (std::uint64_t i = 0; i < 8; ++i) found += cache.match(Hashes{document * 100 + i});
  EXPECT_EQ(found, cache.size(0) + cache.size(1) + cache.size(2));
}

CacheCluster cluster_with(std::vector<CacheTier> tiers) {
  return {.prefill_instances = 4,
          .decode_instances = 4,
          .prefill = {10'000, 112, 0.00105},
          .step = {17'000, 50, 0.029},
          .kv_us_per_token = 6.5,
          .cache_blocks = 100,
          .tiers = std::move(tiers),
          .route = prompt_tree_rule()};
}

CacheReport run(std::vector<CacheTier> tiers) {
  static Workload const workload = make_conversations({.requests = 1500,
                                                       .arrivals = {.rate_per_s = 4},
                                                       .documents = 200,
                                                       .zipf_exponent = 0.8,
                                                       .follow_up_share = 0.5,
                                                       .document_tokens = 5000,
                                                       .question_tokens = 1500,
                                                       .output_tokens = 182,
                                                       .seed = 1});
  return simulate(cluster_with(std::move(tiers)), workload);
}

double mean_ttft_ms(CacheReport const& report) { return mean(ttfts_ms(report.outcomes)); }

TEST(MooncakeTiers, HostAndDiskReuseMoreAndAnswerEarlier) {
  CacheTier const host{.blocks = 1000, .load_us_per_token = 16}, disk{.blocks = 20'000, .load_us_per_token = 55};
  auto const device = run({}), with_host = run({host}), with_disk = run({host, disk});

  EXPECT_LT(device.hit_blocks, with_host.hit_blocks);
  EXPECT_LT(with_host.hit_blocks, with_disk.hit_blocks);
  EXPECT_LT(mean_ttft_ms(with_host), mean_ttft_ms(device));
  EXPECT_LT(mean_ttft_ms(with_disk), mean_ttft_ms(with_host));
  auto const& hits = with_disk.tier_hit_blocks;
  EXPECT_GT(hits[1], 0);
  EXPECT_GT(hits[2], 0);
  EXPECT_LE(hits[0] + hits[1] + hits[2], with_disk.hit_blocks);  // the others came from another instance
}

TEST(MooncakeTiers, ATierThatLoadsSlowerThanThePrefillComputesIsNotUsed) {
  auto const slow = run({{.blocks = 20'000, .load_us_per_token = 100'000}});

  EXPECT_EQ(slow.tier_hit_blocks[1], 0);
}

TEST(MooncakeTiers, AFileSystemThatAllShareIsSlowerThanDisksOfTheirOwn) {
  CacheTier disk{.blocks = 20'000, .load_us_per_token = 60};
  auto const own = run({disk});
  disk.shared_link = true;
  auto const shared = run({disk});

  EXPECT_GT(mean_ttft_ms(shared), mean_ttft_ms(own));
  EXPECT_LE(shared.hit_blocks, own.hit_blocks);
}

}  // namespace
}  // namespace windlass
