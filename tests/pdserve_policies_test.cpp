/// P/D-Serve: the ratio of roles in closed form, on-demand forwarding, the shape of transfers.
#include <gtest/gtest.h>

#include "src/policy/on_demand_forwarding.hpp"
#include "src/policy/role_ratio.hpp"
#include "src/policy/transfer_shape.hpp"

namespace windlass {
namespace {

/// T_p = 400 ms with 4 slots; TPOT 50 ms with 32 slots and 200 output tokens.
constexpr PhaseProfile example{.prefill_ms = 400, .prefill_slots = 4, .decode_ms = 10'000, .decode_slots = 32};

TEST(PdServeTable57, TheBestSplitOfEightIsTwoAndSix) {
  auto const plan = plan_role_ratio({.profile = example, .instances = 8});

  EXPECT_EQ(plan.prefill, 2);
  EXPECT_EQ(plan.decode, 6);
  EXPECT_DOUBLE_EQ(plan.requests_per_s, 19.2);
  EXPECT_DOUBLE_EQ(plan.prefill_per_decode, 0.32);  // (T_p b_d) : (b_p T_d) = 3.2 : 10
  EXPECT_DOUBLE_EQ(split_rate(example, 4, 4), 12.8);
  EXPECT_DOUBLE_EQ(split_rate(example, 1, 7), 10);
}

TEST(PdServeTable57, ThroughputOverTheRatioHasOneMaximum) {
  for (double const decode_ms : {500.0, 3'000.0, 10'000.0, 40'000.0}) {
    PhaseProfile profile = example;
    profile.decode_ms = decode_ms;
    int const best = plan_role_ratio({.profile = profile, .instances = 24}).prefill;
    for (int prefill = 2; prefill < 24; ++prefill) {
      double const before = split_rate(profile, prefill - 1, 25 - prefill),
                   after = split_rate(profile, prefill, 24 - prefill);
      if (prefill <= best)
        EXPECT_GT(after, before) << prefill;
      else
        EXPECT_LE(after, before) << prefill;
    }
  }
}

TEST(PdServeTable57, ABadRatioCostsMoreThanSixtyPercent) {
  EXPECT_GE(split_rate(example, 2, 6) / split_rate(example, 6, 2), 1.6);
}

TEST(RoleAdjustment, MovesOneInstanceTowardsTheSlowerPhase) {
  auto plan = plan_role_adjustment({.profile = example,
                                    .prefill = 1,
                                    .decode = 7,
                                    .e2e_ms = 15'000,
                                    .baseline_e2e_ms = 11'000,
                                    .ttft_share = 0.4,
                                    .baseline_ttft_share = 0.1});

  EXPECT_EQ(plan.to_prefill, 1);
  EXPECT_EQ(plan.stop, RoleAdjustmentStop::prefill_is_short);
}

TEST(RoleAdjustment, SeesThatPromptsWaitForDecodeInstances) {
  auto const plan =
      plan_role_adjustment({.profile = {.prefill_ms = 400, .prefill_slots = 4, .decode_ms = 10'000, .decode_slots = 32},
                            .prefill = 4,
                            .decode = 4,
                            .e2e_ms = 40'000,
                            .baseline_e2e_ms = 11'000,
                            .ttft_share = 0.7,  // of prompts whose KV nobody pulls
                            .baseline_ttft_share = 0.02});

  EXPECT_EQ(plan.to_prefill, -1);
  EXPECT_EQ(plan.stop, RoleAdjustmentStop::decode_is_short);
}

TEST(RoleAdjustment, IgnoresWhatStaysWithinTheHysteresis) {
  EXPECT_EQ(plan_role_adjustment({.profile = example,
                                  .prefill = 1,
                                  .decode = 7,
                                  .e2e_ms = 11'900,
                                  .baseline_e2e_ms = 11'000,
                                  .ttft_share = 0.4,
                                  .baseline_ttft_share = 0.1})
                .stop,
            RoleAdjustmentStop::steady);
}

TEST(RoleAdjustment, NeverTakesTheLastInstanceOfARole) {
  EXPECT_EQ(plan_role_adjustment({.profile = example,
                                  .prefill = 1,
                                  .decode = 1,
                                  .e2e_ms = 15'000,
                                  .baseline_e2e_ms = 11'000,
                                  .ttft_share = 0.4,
                                  .baseline_ttft_share = 0.1})
                .stop,
            RoleAdjustmentStop::nothing_to_move);
}

TEST(Forwarding, AsksThePrefixHoldersFirstThenTheLeastConnected) {
  ForwardingTarget const targets[] = {{3, 0}, {1, 0}, {9, 512}};

  auto const plan =
      plan_forwarding({.targets = targets, .now_us = 0, .deadline_us = 1'000, .prefill_us = 400, .backoff_us = 5});

  EXPECT_EQ(plan.order, (std::vector<std::size_t>{2, 1, 0}));
  EXPECT_EQ(plan.retry_us, 5);
}

TEST(Forwarding, GivesUpOnceThePromptCouldNotBeDoneInTime) {
  ForwardingTarget const targets[] = {{0, 0}};

  EXPECT_EQ(
      plan_forwarding({.targets = targets, .now_us = 601, .deadline_us = 1'000, .prefill_us = 400, .backoff_us = 5})
          .stop,
      ForwardingStop::too_late);
}

/// 13B, 2,048 tokens in pages of 16, 25 GB/s, 8 us a message.
TransferShapeInput opt_13b() {
  return {.kv_bytes = 2048 * 819'200.0,
          .pages = 128,
          .layers = 40,
          .message_us = 8,
          .bytes_per_us = 25'000,
          .memory_bytes_per_us = 1'600'000,
          .staging_bytes = 4e9};
}

TEST(PdServeTable57, AContiguousTransferTakesAboutHalfOfAPagedOne) {
  auto const in = opt_13b();

  double const paged = transfer_us(in, TransferShape::pages), whole = transfer_us(in, TransferShape::contiguous);
  EXPECT_NEAR(paged / 1000, 148, 2);
  EXPECT_LE(whole / paged, 0.54);
  EXPECT_EQ(plan_transfer_shape(in).shape, TransferShape::huge_pages);  // no scatter, and few messages
}

TEST(TransferShapes, AFullStagingBufferFallsBackToPages) {
  auto in = opt_13b();
  in.message_us = 1'000;
  EXPECT_EQ(plan_transfer_shape(in).shape, TransferShape::contiguous);

  in.staging_bytes = 1;
  auto const plan = plan_transfer_shape(in);
  EXPECT_EQ(plan.shape, TransferShape::huge_pages);
  EXPECT_EQ(plan.stop, TransferShapeStop::staging_too_small);
}

}  // namespace
}  // namespace windlass
