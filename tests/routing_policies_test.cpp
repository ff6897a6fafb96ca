/// Routing cost, eviction and early rejection (Mooncake, FAST'25; MemServe), and each system as a setting of the cost.
#include <gtest/gtest.h>

#include "src/policy/early_rejection.hpp"
#include "src/policy/eviction.hpp"
#include "src/policy/routing.hpp"

namespace windlass {
namespace {

constexpr PrefillEstimate prefill{.base_us = 0, .per_token_us = 100, .per_square_us = 0};

RouteInput input(std::span<RouteCandidate const> candidates, RouteRule rule) {
  return {.candidates = candidates, .prompt_tokens = 1000, .prefill = prefill, .fetch_us_per_token = 10, .rule = rule};
}

RouteCandidate candidate(double queue_us, std::int64_t cached_tokens) {
  return {.queue_us = queue_us,
          .queue_tokens = std::int64_t(queue_us / 100),
          .cached_tokens = cached_tokens,
          .sender_backlog_us = 0,
          .handoff_us = 0};
}

TEST(Routing, WithoutLocalityIsTheShortestQueue) {
  RouteCandidate const candidates[] = {candidate(500, 1000), candidate(400, 0)};

  EXPECT_EQ(plan_route(input(candidates, shortest_queue_rule())).instance, 1u);
  EXPECT_EQ(plan_route(input(candidates, token_queue_rule())).instance, 1u);
}

TEST(Routing, WeighsALocalPrefixAgainstTheQueue) {
  RouteCandidate const candidates[] = {candidate(50'000, 900), candidate(0, 0)};

  auto const plan = plan_route(input(candidates, {.cache = CacheUse::local}));

  EXPECT_EQ(plan.instance, 0u);  // 50,000 + 10,000 < 100,000
  EXPECT_EQ(plan.stop, RouteStop::reuses_local);
  EXPECT_DOUBLE_EQ(plan.ttft_us, 60'000);
}

TEST(Routing, FetchesThePrefixWhereThatIsCheaperThanComputing) {
  RouteCandidate const candidates[] = {candidate(95'000, 900), candidate(0, 0)};

  auto const plan = plan_route(input(candidates, prompt_tree_rule()));

  EXPECT_EQ(plan.instance, 1u);  // 9,000 to fetch and 10,000 to compute
  EXPECT_EQ(plan.source, 0u);
  EXPECT_EQ(plan.cached_tokens, 900);
  EXPECT_EQ(plan.stop, RouteStop::fetches_prefix);
}

TEST(Routing, ComputesWhereTheHolderIsBusySending) {
  RouteCandidate candidates[] = {candidate(95'000, 900), candidate(0, 0)};
  candidates[0].sender_backlog_us = 200'000;

  auto const plan = plan_route(input(candidates, prompt_tree_rule()));

  EXPECT_EQ(plan.instance, 1u);
  EXPECT_EQ(plan.stop, RouteStop::computes_all);
}

TEST(Routing, ReplicatesAPrefixThatIsHotElsewhere) {
  RouteCandidate const candidates[] = {candidate(500'000, 900), candidate(0, 300)};

  EXPECT_EQ(plan_route(input(candidates, mooncake_rule(2))).replicate_from, 0u);
  EXPECT_EQ(plan_route(input(candidates, mooncake_rule(4))).replicate_from, std::nullopt);
}

TEST(Routing, PenalisesAHandoffOverASlowLink) {
  RouteCandidate candidates[] = {candidate(0, 0), candidate(1'000, 0)};
  candidates[0].handoff_us = 50'000;
  RouteRule rule = shortest_queue_rule();
  rule.handoff_weight = 1;

  EXPECT_EQ(plan_route(input(candidates, rule)).instance, 1u);
}

TEST(Routing, SaysWhenThereIsNoInstance) {
  EXPECT_EQ(plan_route(input({}, shortest_queue_rule())).stop, RouteStop::no_candidate);
}

TEST(Eviction, FollowsTheRuleAndBreaksTiesByAge) {
  BlockUse const blocks[] = {{.last_use = 5, .uses = 1, .position = 0},
                             {.last_use = 1, .uses = 3, .position = 2},
                             {.last_use = 4, .uses = 1, .position = 7}};
  auto const order = [&](EvictionRule rule) { return plan_eviction({rule, blocks, 2}).evicted; };

  EXPECT_EQ(order(EvictionRule::least_recent), (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(order(EvictionRule::least_frequent), (std::vector<std::size_t>{2, 0}));
  EXPECT_EQ(order(EvictionRule::deepest_first), (std::vector<std::size_t>{2, 1}));
}

TEST(Eviction, SaysWhenTooFewBlocksMayGo) {
  BlockUse const blocks[] = {{.last_use = 5, .uses = 1, .position = 0}};

  auto const plan = plan_eviction({EvictionRule::least_recent, blocks, 2});

  EXPECT_EQ(plan.evicted.size(), 1u);
  EXPECT_EQ(plan.stop, EvictionStop::too_few_blocks);
}

EarlyRejectionInput healthy(RejectionRule rule) {
  return {.rule = rule,
          .predicted_ttft_us = 10,
          .ttft_limit_us = 20,
          .tbt_limit_us = 50,
          .decode_step_us = 40,
          .first_token_at_us = 1000,
          .decode_duration_us = 300,
          .decode_instances = 1,
          .context_tokens = 0,
          .step = {.base_us = 20, .per_sequence_us = 10, .per_context_us = 0}};
}

TEST(EarlyRejection, RefusesAPromptThatWouldWaitTooLong) {
  auto in = healthy(RejectionRule::late);
  in.predicted_ttft_us = 21;

  EXPECT_EQ(plan_early_rejection(in).stop, RejectionStop::prefill_overloaded);
}

TEST(EarlyRejection, LateLooksAtTheDecodeLoadOnlyAfterPrefill) {
  for (auto const rule : {RejectionRule::late, RejectionRule::early}) {
    auto in = healthy(rule);
    in.decode_step_us = 51;
    auto const expected = rule == RejectionRule::late ? RejectionStop::admitted : RejectionStop::decode_overloaded;
    EXPECT_EQ(plan_early_rejection(in).stop, expected);
  }
}

TEST(EarlyRejection, PredictionCountsWhoWillDecodeWhenTheFirstTokenIsOut) {
  auto in = healthy(RejectionRule::predictive);
  in.decode_step_us = 1000;  // overloaded now, but everybody will be gone
  DecodeForecast const gone[] = {{500, 0}, {600, 0}, {650, 0}};
  in.sequences = gone;
  EXPECT_EQ(plan_early_rejection(in).stop, RejectionStop::admitted);

  in.decode_step_us = 0;  // idle now, but four prompts end before this one
  DecodeForecast const coming[] = {{900, 0}, {900, 0}, {999, 0}, {1001, 0}};
  in.sequences = coming;
  EXPECT_EQ(plan_early_rejection(in).stop, RejectionStop::decode_overloaded);  // 20 + 4 * 10 > 50
}

TEST(EarlyRejection, PredictionPutsTheRequestOnOneInstanceAndTheOthersEvenlyOnAll) {
  auto in = healthy(RejectionRule::predictive);
  in.step = {.base_us = 20, .per_sequence_us = 0, .per_context_us = 0.01};
  DecodeForecast const running[] = {{900, 1'000}, {900, 1'000}};
  in.sequences = running;
  in.decode_instances = 4;
  in.context_tokens = 2'500;

  EXPECT_DOUBLE_EQ(plan_early_rejection(in).decode_load, (20 + 0.01 * (500 + 2'500)) / 50);
  in.context_tokens = 2'501;
  EXPECT_EQ(plan_early_rejection(in).stop, RejectionStop::decode_overloaded);
}

}  // namespace
}  // namespace windlass
