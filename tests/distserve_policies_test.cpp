/// Dispatch, L_m batching, pull and goodput search as DistServe (OSDI'24, sections 4.1 to 4.3) describes them.
#include <gtest/gtest.h>

#include "src/policy/decode_pull.hpp"
#include "src/policy/dispatch.hpp"
#include "src/policy/goodput.hpp"
#include "src/policy/placement.hpp"
#include "src/policy/prefill_batch.hpp"

namespace windlass {
namespace {

TEST(Dispatch, TakesTheShortestQueueAndTheLowestIndexAmongEquals) {
  std::int64_t const load[] = {4, unavailable_load, 2, 2};

  EXPECT_EQ(plan_dispatch({.load = load}).instance, 2u);
}

TEST(Dispatch, SaysWhenNoInstanceIsAvailable) {
  std::int64_t const load[] = {unavailable_load};

  EXPECT_EQ(plan_dispatch({.load = load}).stop, DispatchStop::no_instance);
  EXPECT_EQ(plan_dispatch({.load = {}}).stop, DispatchStop::no_instance);
}

PrefillBatchInput saturating(std::span<WaitingPrompt const> waiting) {
  return {.waiting = waiting,
          .max_prompts = 8,
          .max_tokens = 2048,
          .saturating_tokens = 512,
          .free_pages = 1000,
          .fit = PromptFit::until_saturated};
}

TEST(PrefillBatch, StopsOnceTheSaturatingLengthIsReached) {
  WaitingPrompt const waiting[] = {{200, 4}, {200, 4}, {200, 4}, {200, 4}};

  auto const plan = plan_prefill_batch(saturating(waiting));

  EXPECT_EQ(plan.prompts, 3);  // 400 < 512, so the third joins; 600 >= 512 stops
  EXPECT_EQ(plan.stop, PrefillBatchStop::saturated);
}

TEST(PrefillBatch, APromptLongerThanTheLimitGoesAlone) {
  WaitingPrompt const waiting[] = {{9000, 4}, {10, 1}};

  auto const plan = plan_prefill_batch(saturating(waiting));

  EXPECT_EQ(plan.prompts, 1);
  EXPECT_EQ(plan.tokens, 9000);
}

TEST(PrefillBatch, WaitsForPagesInsteadOfOvertaking) {
  WaitingPrompt const waiting[] = {{100, 1001}, {10, 1}};

  auto const plan = plan_prefill_batch(saturating(waiting));

  EXPECT_EQ(plan.prompts, 0);
  EXPECT_EQ(plan.stop, PrefillBatchStop::no_free_pages);
}

TEST(DecodePull, StopsWhenEnoughPagesWait) {
  std::int64_t const pages[] = {30, 30, 30};

  auto const plan = plan_decode_pull({.pages = pages, .free_pages = 500, .pool_pages = 1000, .waiting_pages = 0});

  EXPECT_EQ(plan.offers, 2);  // 0 and 30 are below 5 % of 1000, 60 is not
  EXPECT_EQ(plan.stop, DecodePullStop::enough_waiting);
}

TEST(DecodePull, StopsWhenTheNextPromptDoesNotFit) {
  std::int64_t const pages[] = {30, 30};

  auto const plan = plan_decode_pull({.pages = pages, .free_pages = 40, .pool_pages = 1000, .waiting_pages = 0});

  EXPECT_EQ(plan.offers, 1);
  EXPECT_EQ(plan.stop, DecodePullStop::no_free_pages);
}

TEST(Goodput, BisectsToTheToleranceFromBelow) {
  auto const plan = plan_goodput({.meets = [](double rate) { return rate <= 1.6; }, .high_rate = 5, .tolerance = 0.25});

  EXPECT_LE(plan.rate, 1.6);
  EXPECT_GT(plan.rate + 0.25, 1.6);
  EXPECT_EQ(plan.stop, GoodputStop::found);
}

TEST(Goodput, SaysWhenNoRateMeetsTheLevels) {
  auto const plan = plan_goodput({.meets = [](double) { return false; }});

  EXPECT_EQ(plan.rate, 0);
  EXPECT_EQ(plan.stop, GoodputStop::nothing_met);
}

PlacementModel any_model() {
  return {.heads = 40, .layers = 40, .runnable = [](ParallelDegree degree) { return degree.gpus() > 1; }};
}

TEST(HighAffinityPlacement, TakesTheBestGoodputPerGpuForEachPhase) {
  auto const plan =
      plan_high_affinity({.model = any_model(),
                          .gpus_per_node = 8,
                          .max_nodes = 1,
                          .rate = 10,
                          .prefill_goodput = [](ParallelDegree d) { return d.tp == 2 && d.pp == 1 ? 4.0 : 0.1; },
                          .decode_goodput = [](ParallelDegree d) { return d.tp == 1 && d.pp == 2 ? 7.0 : 0.1; }});

  EXPECT_EQ(plan.prefill.degree, (ParallelDegree{2, 1}));
  EXPECT_EQ(plan.decode.degree, (ParallelDegree{1, 2}));
  EXPECT_EQ(plan.prefill_instances, 3);  // ceil(10 / 4)
  EXPECT_EQ(plan.decode_instances, 2);   // ceil(10 / 7)
}

TEST(HighAffinityPlacement, GivesTiesToFewerGpus) {
  auto const linear = [](ParallelDegree degree) { return 1.5 * degree.gpus(); };

  auto const plan = plan_high_affinity({.model = any_model(),
                                        .gpus_per_node = 8,
                                        .max_nodes = 1,
                                        .rate = 1,
                                        .prefill_goodput = linear,
                                        .decode_goodput = linear});

  EXPECT_EQ(plan.prefill.degree.gpus(), 2);
}

TEST(LowAffinityPlacement, KeepsBothHalvesOfASegmentOnOneNode) {
  LowAffinityInput const in{
      .model = any_model(), .gpus_per_node = 4, .max_nodes = 2, .rate = 1, .goodput = [](PairedDegree) { return 1.0; }};

  auto const candidates = paired_candidates(in);

  ASSERT_FALSE(candidates.empty());
  for (PairedDegree const& pair : candidates) {
    EXPECT_LE(pair.prefill.gpus() + pair.decode.gpus(), 4);
    EXPECT_EQ(40 % (pair.prefill.pp * pair.pp_cross), 0);
  }
}

TEST(LowAffinityPlacement, SaysWhenNothingRuns) {
  auto model = any_model();
  model.runnable = [](ParallelDegree) { return false; };

  auto const plan = plan_low_affinity(
      {.model = model, .gpus_per_node = 4, .max_nodes = 1, .rate = 1, .goodput = [](PairedDegree) { return 1.0; }});

  EXPECT_EQ(plan.stop, PlacementStop::nothing_runnable);
}

}  // namespace
}  // namespace windlass
