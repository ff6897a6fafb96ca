/// Clusters whose instances fail, come back or change roles, and links that are shared: what must hold for every load.
#include <gtest/gtest.h>

#include <algorithm>

#include "src/sim/fair_link.hpp"
#include "src/sim/pipeline_cluster.hpp"

namespace windlass {
namespace {

/// Milliseconds in closed form: 20 for each prompt of a batch; 10 and 0.2 for each sequence of a step.
class SimpleLatency final : public LatencyModel {
 public:
  Microseconds step_us(StepWork const& work, int) const override {
    Microseconds const decode_us = work.sequences > 0 ? 10'000 + 200 * work.sequences : 0;
    return 40 * work.prompt_tokens + decode_us;
  }
};

PipelineCluster disaggregated(int prefill, int decode) {
  PipelineCluster cluster;
  auto const latency = std::make_shared<SimpleLatency>();
  PipelineInstance instance{.role = SimRole::prefill, .latency = latency, .max_prompts = 4, .kv_tokens = 40'000};
  cluster.instances.assign(std::size_t(prefill), instance);
  instance.role = SimRole::decode;
  cluster.instances.insert(cluster.instances.end(), std::size_t(decode), instance);
  cluster.link = {.bytes_per_us = 10'000, .kv_bytes_per_token = 500'000, .latency_us = 20};
  return cluster;
}

PipelineCluster mixed(int count, std::int64_t chunk_tokens) {
  PipelineCluster cluster;
  cluster.instances.assign(std::size_t(count), {.role = SimRole::mixed,
                                                .latency = std::make_shared<SimpleLatency>(),
                                                .kv_tokens = 40'000,
                                                .chunk_tokens = chunk_tokens});
  return cluster;
}

Workload arrivals(double rate_per_s, std::int64_t requests, std::uint64_t seed = 5) {
  return make_workload(
      {.requests = requests, .arrivals = {.rate_per_s = rate_per_s}, .lengths = share_gpt_lengths(), .seed = seed});
}

constexpr Microseconds second = 1'000'000;

/// Every request ended once, in order, and nothing is held any more.
void expect_conserved(PipelineReport const& report, std::int64_t requests) {
  std::int64_t const completed = count_of(report.outcomes, RequestEnd::completed);
  EXPECT_EQ(completed + count_of(report.outcomes, RequestEnd::failed) +
                count_of(report.outcomes, RequestEnd::rejected_at_arrival),
            requests);
  EXPECT_EQ(report.left_kv_tokens, 0);
  for (RequestOutcome const& outcome : report.outcomes) {
    if (outcome.end != RequestEnd::completed) continue;
    EXPECT_LE(outcome.arrival_us, outcome.first_token_us);
    EXPECT_LE(outcome.first_token_us, outcome.finish_us);
  }
}

TEST(Failures, ADecodeInstanceThatDiesAndComesBackLosesNoRequest) {
  auto cluster = disaggregated(2, 2);
  cluster.failures = {{.instance = 2, .at_us = 10 * second, .repaired_us = 25 * second}};

  auto const report = simulate(cluster, arrivals(8, 400));

  expect_conserved(report, 400);
  EXPECT_EQ(count_of(report.outcomes, RequestEnd::completed), 400);
  EXPECT_EQ(report.failures, 1);
  EXPECT_GT(report.restarts, 0);
}

TEST(Failures, APrefillInstanceThatNeverComesBackLeavesItsWorkToTheOthers) {
  auto cluster = disaggregated(2, 2);
  cluster.failures = {{.instance = 0, .at_us = 10 * second}};

  auto const report = simulate(cluster, arrivals(8, 400));

  expect_conserved(report, 400);
  EXPECT_EQ(count_of(report.outcomes, RequestEnd::completed), 400);
  EXPECT_GT(percentile(ttfts_ms(report.outcomes), 0.9),
            percentile(ttfts_ms(simulate(disaggregated(2, 2), arrivals(8, 400)).outcomes), 0.9));
}

TEST(Failures, WithoutAnyInstanceLeftTheRestHasFailed) {
  for (std::uint32_t const instance : {0u, 1u}) {
    auto cluster = disaggregated(1, 1);
    cluster.failures = {{.instance = instance, .at_us = 10 * second}};

    auto const report = simulate(cluster, arrivals(3, 100));

    expect_conserved(report, 100);
    EXPECT_GT(count_of(report.outcomes, RequestEnd::failed), 50);
    EXPECT_GT(count_of(report.outcomes, RequestEnd::completed), 5);
  }
}

TEST(Failures, ARequestThatStartsAgainTooOftenHasFailed) {
  auto cluster = mixed(1, 0);
  cluster.max_restarts = 1;
  for (int i = 1; i <= 5; ++i)
    cluster.failures.push_back({.instance = 0, .at_us = i * second, .repaired_us = i * second + second / 10});
  Workload const workload =
      make_workload({.requests = 3, .arrivals = {.rate_per_s = 100}, .lengths = fixed_lengths({100, 1000})});

  auto const report = simulate(cluster, workload);

  expect_conserved(report, 3);
  EXPECT_EQ(count_of(report.outcomes, RequestEnd::failed), 3);
}

TEST(Failures, ARestartKeepsTheTokensThatWereGenerated) {
  auto cluster = mixed(1, 0);
  cluster.failures = {{.instance = 0, .at_us = second, .repaired_us = second + 1}};
  Workload const one =
      make_workload({.requests = 1, .arrivals = {.rate_per_s = 1}, .lengths = fixed_lengths({100, 300})});

  auto const broken = simulate(cluster, one);
  auto const whole = simulate(mixed(1, 0), one);

  // 4 ms of prompt and 299 steps of 10.2 ms; the interrupted step and a prefill of prompt and output so far come on top
  EXPECT_EQ(broken.outcomes[0].first_token_us, whole.outcomes[0].first_token_us);
  EXPECT_GT(broken.outcomes[0].finish_us, whole.outcomes[0].finish_us);
  EXPECT_LT(broken.outcomes[0].finish_us, whole.outcomes[0].finish_us + 25'000);
}

TEST(Conservation, RandomFailuresRolesAndLinksNeverLoseARequestOrATokenOfKv) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    RandomStream random(seed, 3);
    PipelineCluster cluster = seed % 3 == 0 ? mixed(3, seed % 2 == 0 ? 256 : 0) : disaggregated(2, 3);
    if (seed % 4 == 1) cluster.link.fabric_bytes_per_us = 15'000;
    if (seed % 3 == 1)
      cluster.roles = {.window_us = second,
                       .switch_us = second / 2,
                       .profile = {.prefill_ms = 30, .prefill_slots = 1, .decode_ms = 4000, .decode_slots = 30}};
    for (int i = 0; i < 12; ++i) {
      auto const at = Microseconds(random.below(20 * second));
      bool const returns = random.below(4) > 0;
      cluster.failures.push_back({.instance = std::uint32_t(random.below(cluster.instances.size())),
                                  .at_us = at,
                                  .repaired_us = returns ? at + 1 + Microseconds(random.below(5 * second)) : never_us});
    }

    auto const report = simulate(cluster, arrivals(12, 250, seed));

    expect_conserved(report, 250);
    auto const again = simulate(cluster, arrivals(12, 250, seed));
    EXPECT_EQ(report.end_us, again.end_us) << seed;
    EXPECT_EQ(report.restarts, again.restarts) << seed;
  }
}

TEST(Monotonicity, MoreInstancesOfEitherRoleNeverLowerTheAttainment) {
  ServiceLevel const level{.ttft_ms = 500, .tpot_ms = 25};
  double before = 0;
  for (int instances = 1; instances <= 5; ++instances) {
    double const now = attainment(simulate(disaggregated(instances, instances), arrivals(20, 600)).outcomes, level);
    EXPECT_GE(now, before - 0.01) << instances;
    before = now;
  }
}

TEST(Monotonicity, MoreFailuresNeverRaiseTheAttainment) {
  ServiceLevel const level{.ttft_ms = 500, .tpot_ms = 25};
  auto cluster = disaggregated(2, 2);
  double before = 1;
  for (int failures = 0; failures <= 3; ++failures) {
    double const now = attainment(simulate(cluster, arrivals(10, 600)).outcomes, level);
    EXPECT_LE(now, before + 0.01) << failures;
    before = now;
    cluster.failures.push_back({.instance = std::uint32_t(failures % 2 + 2),
                                .at_us = (failures + 1) * 12 * second,
                                .repaired_us = (failures + 1) * 12 * second + 6 * second});
  }
}

TEST(PdServeSection52, TheControlLoopTurnsAPoorRatioIntoABetterOne) {
  auto poor = disaggregated(5, 1);  // outputs of 400 tokens: decode is short
  for (PipelineInstance& instance : poor.instances) instance.max_context_tokens = 8'000;
  auto const workload =
      make_workload({.requests = 3000, .arrivals = {.rate_per_s = 6}, .lengths = fixed_lengths({200, 400}), .seed = 2});
  auto controlled = poor;
  controlled.roles = {.window_us = 20 * second,
                      .switch_us = second,
                      .profile = {.prefill_ms = 8, .prefill_slots = 1, .decode_ms = 400 * 14, .decode_slots = 20}};

  auto const without = simulate(poor, workload), with = simulate(controlled, workload);

  expect_conserved(with, 3000);
  EXPECT_GE(with.role_changes, 1);
  EXPECT_LT(double(with.end_us), double(without.end_us) / 1.6);  // the paper: 60 % more than a poor ratio
}

TEST(ChunkedPrefill, LongPromptsDelayDecodesLessThanWholeOnes) {
  Workload workload = make_workload(
      {.requests = 400, .arrivals = {.rate_per_s = 4, .variation = 0}, .lengths = fixed_lengths({100, 100})});
  for (std::size_t i = 0; i < workload.size(); i += 10) workload[i].lengths = {8'000, 20};

  auto const whole = simulate(mixed(1, 0), workload), chunked = simulate(mixed(1, 512), workload);

  expect_conserved(chunked, 400);
  EXPECT_LT(percentile(tpots_ms(chunked.outcomes), 0.9), percentile(tpots_ms(whole.outcomes), 0.9));
}

TEST(ChunkedPrefill, AChunkAddsItsTimeToTheStepOfTheDecodes) {
  Workload workload(2);
  workload[0].lengths = {1, 3};
  workload[1].lengths = {1000, 1};

  auto const report = simulate(mixed(1, 400), workload);

  // step 1: 1 + 400 tokens of prompts (a last token is a decode to the batching); then 400 and 200 beside the decode
  EXPECT_EQ(report.outcomes[0].first_token_us, 40 * 401);
  EXPECT_EQ(report.outcomes[0].finish_us, 40 * 1001 + 2 * 10'200);
  EXPECT_EQ(report.outcomes[1].first_token_us, report.outcomes[0].finish_us);
}

TEST(FairLink, SharesTheFabricAndLetsNobodyExceedHisOwnLink) {
  FairLink link(10, 15);
  link.add(0, {.id = 1, .sender = 0, .bytes = 1000});
  EXPECT_EQ(link.next_done_us(), 100);  // its own link limits

  link.add(0, {.id = 2, .sender = 0, .bytes = 1000});
  link.add(0, {.id = 3, .sender = 1, .bytes = 1000});  // 5 for each of the three: 10 of sender 0, 5 of sender 1
  EXPECT_EQ(link.next_done_us(), 200);

  link.remove(100, 2);  // 500 left of each; now 7.5 for each
  EXPECT_EQ(link.next_done_us(), 100 + 67);
  EXPECT_EQ(link.take_done(167), (std::vector<std::uint32_t>{1, 3}));
  EXPECT_TRUE(link.empty());
}

TEST(SharedFabric, ContentionDelaysTheSecondTokenAndMovesTheSameKv) {
  auto cluster = disaggregated(4, 4);
  Workload const workload = arrivals(30, 600);
  auto const alone = simulate(cluster, workload);
  cluster.link.fabric_bytes_per_us = 10'000;

  auto const shared = simulate(cluster, workload);

  expect_conserved(shared, 600);
  EXPECT_EQ(shared.transferred_tokens, alone.transferred_tokens);
  EXPECT_GT(mean(e2es_ms(shared.outcomes)), 1.05 * mean(e2es_ms(alone.outcomes)));
}

}  // namespace
}  // namespace windlass
