// Elastic instances (LoongServe) on the virtual clock: table 6.8's orderings, and what must hold in any state.
#include "src/sim/elastic_cluster.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "src/sim/pipeline_cluster.hpp"
#include "src/sim/polynomial_latency.hpp"

namespace windlass {
namespace {

constexpr std::int64_t instance_tokens = 210'000;

/// LWM-7B, tp 2 on A800: the calibrated times of 8 GPUs over the GPUs used.
ElasticCluster elastic() {
  ElasticCluster cluster{.degree_times = {},
                         .step = {.base_us = 18'000, .per_sequence_us = 50, .per_context_us = 0.175},
                         .kv_tokens = instance_tokens,
                         .migration_us_per_token = 0.6,
                         .predicted_output_tokens = 300,
                         .max_overtaking = 64};
  for (int degree = 1; degree <= 4; ++degree)
    cluster.degree_times.push_back(
        {.base_us = 16'000.0 + 1'000 * degree, .per_token_us = 39.2 / degree, .per_square_us = 7.6e-4 / degree});
  return cluster;
}

PipelineInstance fixed_group(SimRole role, int degree) {
  Polynomial const decode{18, 0.000175 / degree, 0.05 / degree};
  PolynomialProfile const profile{
      .prefill = {16.0 + degree, 0.0392 / degree, 7.6e-7 / degree}, .small_decode = decode, .large_decode = decode};
  StageOverhead const none{.dispatch = 0, .dispatch_per_token = 0, .prefill_per_stage = 0};
  return {.role = role,
          .latency = std::make_shared<PolynomialLatency>(profile, 1, none),
          .max_prompt_tokens = 8'192,
          .max_context_tokens = unlimited,
          .kv_tokens = degree * instance_tokens};
}

double even_logarithm(RandomStream& random, double low, double high) {
  return low * std::pow(high / low, random.uniform());
}

/// ShareGPT's, L-Eval's and LV-Eval's ranges, each as often.
Workload mixed_lengths(double rate_per_s, std::int64_t requests, double longest) {
  auto const lengths = [longest](RandomStream& random) {
    double const low[] = {4, 2'700, 15'100}, high[] = {2'000, 210'000, longest}, output[] = {200, 90, 50};
    auto const part = random.below(3);
    auto const prompt = std::int32_t(even_logarithm(random, low[part], high[part]));
    return TokenLengths{prompt, std::int32_t(std::min(1'000.0, random.exponential(output[part]))) + 1};
  };
  return make_workload({.requests = requests, .arrivals = {.rate_per_s = rate_per_s}, .lengths = lengths, .seed = 1});
}

double p90_normalised(std::vector<RequestOutcome> const& outcomes) { return percentile(normalised_ms(outcomes), 0.9); }

TEST(LoongServeTable68, ElasticBeatsOneGroupAndFixedHalvesAtAllMixedRates) {
  for (double const rate : {0.1, 0.2, 0.3, 0.4, 0.5}) {
    auto const workload = mixed_lengths(rate, 600, 400'000);

    double const flexible = p90_normalised(simulate(elastic(), workload).outcomes);
    double const one = p90_normalised(simulate({.instances = {fixed_group(SimRole::mixed, 4)}}, workload).outcomes);
    double const halves = p90_normalised(
        simulate({.instances = {fixed_group(SimRole::prefill, 2), fixed_group(SimRole::decode, 2)}}, workload)
            .outcomes);

    EXPECT_LT(flexible, one) << rate;
    EXPECT_LT(flexible, halves) << rate;
  }
}

TEST(LoongServeTable68, FixedHalvesRunOutOfMemoryWhereElasticInstancesDoNot) {
  auto const workload = mixed_lengths(0.05, 200, 497'300);

  auto const flexible = simulate(elastic(), workload);
  auto const halves =
      simulate({.instances = {fixed_group(SimRole::prefill, 2), fixed_group(SimRole::decode, 2)}}, workload);

  EXPECT_EQ(count_of(flexible.outcomes, RequestEnd::completed), 200);
  EXPECT_GT(count_of(halves.outcomes, RequestEnd::rejected_at_arrival), 0);
}

/// Requests/s of chats with 90 % of them within 25 times the unloaded latency: 1 s and 320 ms a token.
double chats_per_s(ElasticGrowth growth) {
  auto cluster = elastic();
  cluster.growth = growth;
  auto const lengths = [](RandomStream& random) {
    return TokenLengths{std::int32_t(even_logarithm(random, 4, 2'300)), std::int32_t(random.exponential(200)) + 1};
  };
  double rate = 0;
  for (double const next : {5.0, 10.0, 20.0, 30.0}) {
    auto const workload =
        make_workload({.requests = 1'000, .arrivals = {.rate_per_s = next}, .lengths = lengths, .seed = 2});
    if (attainment(simulate(cluster, workload).outcomes, {.ttft_ms = 1'000, .tpot_ms = 320}) < 0.9) break;
    rate = next;
  }
  return rate;
}

TEST(LoongServeFigure13, WithoutScalingUpLessThanHalfOfTheChatsAreServed) {
  double const grows = chats_per_s(ElasticGrowth::grows), stays = chats_per_s(ElasticGrowth::stays);

  EXPECT_GT(stays, 0);
  EXPECT_GE(grows, 2 * stays);  // published: 2.87 times
}

TEST(LoongServeFigure13, IdleInstancesJoinAGroupThatComputesTooMuch) {
  auto const lengths = [](RandomStream& random) {
    return TokenLengths{std::int32_t(even_logarithm(random, 4, 300)), std::int32_t(random.exponential(300)) + 1};
  };
  auto const workload =
      make_workload({.requests = 1'500, .arrivals = {.rate_per_s = 25}, .lengths = lengths, .seed = 2});
  auto grows = elastic(), stays = elastic();
  grows.step.per_sequence_us = stays.step.per_sequence_us = 300;
  grows.scale_up_sequences = 50;
  stays.scale_up_sequences = 1'000'000;

  auto const with = simulate(grows, workload), without = simulate(stays, workload);

  EXPECT_GT(with.scale_ups, 0);
  EXPECT_EQ(without.scale_ups, 0);
  EXPECT_LT(mean(tpots_ms(with.outcomes)), mean(tpots_ms(without.outcomes)));
}

TEST(LoongServeConservation, EveryRequestEndsOnceAndEveryInstanceEmpties) {
  auto cluster = elastic();
  cluster.kv_tokens = 6'000;  // decodes run into each other
  cluster.predicted_output_tokens = 20;
  auto const lengths = [](RandomStream& random) {
    return TokenLengths{std::int32_t(even_logarithm(random, 4, 26'000)), std::int32_t(random.exponential(400)) + 1};
  };
  auto const workload = make_workload({.requests = 800, .arrivals = {.rate_per_s = 5}, .lengths = lengths, .seed = 5});

  auto const report = simulate(cluster, workload);

  EXPECT_EQ(
      count_of(report.outcomes, RequestEnd::completed) + count_of(report.outcomes, RequestEnd::rejected_at_arrival),
      800);
  EXPECT_GT(count_of(report.outcomes, RequestEnd::rejected_at_arrival), 0);
  EXPECT_GT(report.recomputed, 0);
  EXPECT_GT(report.migrations, 0);
  EXPECT_GT(report.pauses, 0);
  EXPECT_EQ(report.left_tokens, 0);
}

TEST(LoongServeDeterminism, TheSameInputGivesTheSameOutcomes) {
  auto const workload = mixed_lengths(0.3, 200, 400'000);

  auto const first = simulate(elastic(), workload), second = simulate(elastic(), workload);

  for (std::size_t i = 0; i < workload.size(); ++i) {
    EXPECT_EQ(first.outcomes[i].first_token_us, second.outcomes[i].first_token_us);
    EXPECT_EQ(first.outcomes[i].finish_us, second.outcomes[i].finish_us);
  }
}

}  // namespace
}  // namespace windlass
