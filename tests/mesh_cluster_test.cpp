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
          .times = std::make_shared<SharedStepTimes>(profile(name).at(gpus), 70),
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
  cluster.meshes[0].models[0].mean_tokens = 778 + 251;
  cluster.meshes[0].models[1].mean_tokens = 128 + 126;
  return cluster;
}

Workload two_models(double rate_per_s, std::int64_t requests, std::uint64_t seed = 0) {
  Workload workload = make_workload({.requests = requests,
                                     .arrivals = {.rate_per_s = rate_per_s},
                                     .lengths = fixed_lengths({.prompt_tokens = 778, .output_tokens = 251}),
                                     .seed = seed});
  for (std::size_t i = 0; i < workload.size(); ++i) {
    if (i % 3 == 0) continue;
    workload[i].model = 1;
    workload[i].lengths = {.prompt_tokens = 128, .output_tokens = 126};
  }
  return workload;
}

/// 80 GB a GPU less the weights of both models, their activations and processes; a block of a head is 8 KiB.
constexpr std::int64_t pool_blocks = 2'100'000;

double saturated_throughput(SchedulingRule rule, QuotaRule quotas, Workload const& workload) {
  auto cluster = pair_on_one_mesh(rule, pool_blocks);
  cluster.quotas = quotas;
  return throughput_of(simulate(cluster, workload));
}

TEST(MuxServeTable78, AdaptiveBatchSchedulingLeadsRoundRobinAndFirstComeAtEveryOverload) {
  // published: 7.48, 5.81 and 3.92 requests/s; the other rules know no quotas
  std::vector<double> adaptive, round_robin, first_come;
  for (double const rate : {16.0, 24.0, 32.0})
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      Workload const workload = two_models(rate, 2000, seed);
      adaptive.push_back(saturated_throughput(SchedulingRule::prefill_first, QuotaRule::adapted, workload));
      round_robin.push_back(saturated_throughput(SchedulingRule::round_robin, QuotaRule::none, workload));
      first_come.push_back(saturated_throughput(SchedulingRule::first_come, QuotaRule::none, workload));
      EXPECT_GT(adaptive.back(), round_robin.back()) << rate << " requests/s, seed " << seed;
      EXPECT_GT(round_robin.back(), 1.4 * first_come.back()) << rate << " requests/s, seed " << seed;
    }
  EXPECT_NEAR(mean(adaptive), 7.48, 0.15 * 7.48);
  EXPECT_GT(mean(adaptive), 1.1 * mean(round_robin));
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
  for (MeshModel& model : cluster.meshes[0].models) model.mean_tokens = 250;  // requests are twice as long
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
