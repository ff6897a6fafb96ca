/// Several models on shared meshes (MuxServe): figures, and what holds for every load.
#include "src/sim/mesh_cluster.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "jobs/sim_files.hpp"

namespace windlass {
namespace {

MultiplexProfile const& profile(std::string const& model) {
  static auto const all = read_multiplex_profiles(WINDLASS_SOURCE_DIR "/inputs/profiles/muxserve_latency_a100.csv");
  return all.at(model);
}

MeshModel model_on(int gpus, std::int32_t number, std::string const& name, std::int64_t heads_of_all_layers) {
  return {.model = number,
          .times = std::make_shared<SharedStepTimes>(profile(name).at(gpus)),
          .rate_per_s = 1,
          .blocks_per_block = heads_of_all_layers / gpus,
          .prefill_parts = 10,
          .decode_parts = 3};
}

/// Table 7.8's pair: LLaMA-65B with prompts of 778 and answers of 251 tokens, LLaMA-30B with 128 and 126, on 4 GPUs.
MeshCluster pair_on_one_mesh(SchedulingRule rule, std::int64_t head_blocks) {
  MeshCluster cluster{.meshes = {{.gpus = 4, .head_blocks = head_blocks, .models = {}}}, .scheduling = rule};
  cluster.meshes[0].models = {model_on(4, 0, "llama-65b", 80 * 64), model_on(4, 1, "llama-30b", 60 * 52)};
  cluster.meshes[0].models[1].rate_per_s = 2;  // as two_models asks for it
  cluster.mean_tokens = 600;
  return cluster;
}

Workload two_models(double rate_per_s, std::int64_t requests) {
  Workload workload = make_workload({.requests = requests,
                                     .arrivals = {.rate_per_s = rate_per_s},
                                     .lengths = fixed_lengths({.prompt_tokens = 778, .output_tokens = 251})});
  for (std::size_t i = 0; i < workload.size(); ++i) {
    if (i % 3 == 0) continue;
    workload[i].model = 1;
    workload[i].lengths = {.prompt_tokens = 128, .output_tokens = 126};
  }
  return workload;
}

constexpr std::int64_t ample_blocks = 2'500'000;

double mean_ttft_ms(MeshReport const& report) { return mean(ttfts_ms(report.outcomes)); }

TEST(MuxServeTable78, AdaptiveBatchSchedulingLeadsRoundRobinAndFirstCome) {
  Workload const workload = two_models(24, 2000);
  auto const run = [&](SchedulingRule rule, QuotaRule quotas) {
    auto cluster = pair_on_one_mesh(rule, ample_blocks);
    cluster.quotas = quotas;
    return simulate(cluster, workload);
  };
  auto const adaptive = run(SchedulingRule::prefill_first, QuotaRule::adapted);
  auto const round_robin = run(SchedulingRule::round_robin, QuotaRule::fixed);
  auto const first_come = run(SchedulingRule::first_come, QuotaRule::fixed);

  EXPECT_GT(throughput_of(adaptive), throughput_of(round_robin));          // published: 7.48 and 5.81 requests/s
  EXPECT_GT(throughput_of(round_robin), 1.4 * throughput_of(first_come));  // published: 3.92
  EXPECT_NEAR(throughput_of(adaptive), 7.48, 0.15 * 7.48);
  EXPECT_LT(mean_ttft_ms(adaptive), mean_ttft_ms(round_robin));
  EXPECT_LT(mean_ttft_ms(round_robin), mean_ttft_ms(first_come));
}

TEST(MuxServeConservation, OverloadAndATinyPoolEndEveryRequestAndReturnEveryBlock) {
  for (auto const rule : {SchedulingRule::prefill_first, SchedulingRule::round_robin, SchedulingRule::first_come})
    for (std::int64_t const blocks : {90'000, 200'000, 1'000'000}) {
      auto const report = simulate(pair_on_one_mesh(rule, blocks), two_models(20, 300));

      EXPECT_EQ(report.left_blocks, 0) << blocks;
      EXPECT_EQ(report.quota_blocks_lost, 0) << blocks;
      EXPECT_EQ(count_of(report.outcomes, RequestEnd::completed), 300) << blocks;
      for (RequestOutcome const& outcome : report.outcomes) EXPECT_LE(outcome.first_token_us, outcome.finish_us);
    }
}

TEST(MuxServeConservation, ARequestThatThePoolCouldNeverHoldIsRejected) {
  auto const report = simulate(pair_on_one_mesh(SchedulingRule::prefill_first, 50'000), two_models(1, 12));

  EXPECT_EQ(count_of(report.outcomes, RequestEnd::rejected_at_arrival), 4);  // those of LLaMA-65B
  EXPECT_EQ(count_of(report.outcomes, RequestEnd::completed), 8);
}

TEST(MuxServeSection74, ATinyPoolPreemptsFromTheTailAndQuotasMoveToTheBusyModel) {
  Workload workload = two_models(12, 400);
  for (std::size_t i = 0; i < workload.size(); ++i)
    if (i % 8 != 0) workload[i].model = 0, workload[i].lengths = {.prompt_tokens = 200, .output_tokens = 300};

  auto cluster = pair_on_one_mesh(SchedulingRule::prefill_first, 1'000'000);
  cluster.mean_tokens = 250;  // requests are twice as long
  auto const report = simulate(cluster, workload);

  EXPECT_GT(report.models[0].preemptions, 0);
  EXPECT_GT(report.models[0].last_quota, report.models[0].first_quota);
  EXPECT_EQ(report.quota_blocks_lost, 0);
}

TEST(MuxServeDeterminism, TheSameInputGivesTheSameOutcomes) {
  Workload const workload = two_models(10, 400);
  auto const cluster = pair_on_one_mesh(SchedulingRule::prefill_first, 200'000);
  auto const first = simulate(cluster, workload), second = simulate(cluster, workload);

  for (std::size_t i = 0; i < workload.size(); ++i) {
    EXPECT_EQ(first.outcomes[i].first_token_us, second.outcomes[i].first_token_us);
    EXPECT_EQ(first.outcomes[i].finish_us, second.outcomes[i].finish_us);
  }
}

TEST(SharedStepTimes, AreTheMeasurementsAtMeasuredSizesAndGrowAsTheShareShrinks) {
  SharedStepTimes const times(profile("llama-13b").at(8));

  EXPECT_EQ(times.prefill_us(100, 1, 32), 23779);  // rows of the table
  EXPECT_EQ(times.decode_us(100, 2, 128), 17275);
  SharedStepTimes const small(profile("llama-7b").at(1));
  EXPECT_NEAR(double(small.decode_us(30, 128, 128)) / double(small.decode_us(100, 128, 128)), 1.82, 0.005);
  EXPECT_NEAR(double(small.prefill_us(30, 128, 128)) / double(small.prefill_us(100, 128, 128)), 2.65, 0.005);
  EXPECT_NEAR(double(times.decode_us(15, 8, 128)), 2 * double(times.decode_us(30, 8, 128)), 2);
}

TEST(StepGrid, IsLinearBetweenMeasurementsAndGrowsBeyondThem) {
  StepGrid const grid({{1, 100, 10}, {1, 200, 14}, {4, 100, 20}, {4, 200, 32}});

  EXPECT_DOUBLE_EQ(grid.at(1, 150), 12);
  EXPECT_DOUBLE_EQ(grid.at(2.5, 150), 19);
  EXPECT_DOUBLE_EQ(grid.at(1, 300), 18);
  EXPECT_DOUBLE_EQ(grid.at(8, 200), 64);
  EXPECT_DOUBLE_EQ(grid.at(0.5, 100), 10);
}

}  // namespace
}  // namespace windlass
