/// What must hold for every kind of cluster: every request ends once, the same input gives the same outcomes, and more
/// instances never serve less of a fixed trace. Pipelines' own, with failures and roles: pipeline_changes_test.cpp.
#include <gtest/gtest.h>

#include <cmath>

#include "jobs/sim_files.hpp"
#include "src/sim/cache_cluster.hpp"
#include "src/sim/distserve.hpp"
#include "src/sim/elastic_cluster.hpp"
#include "src/sim/gateway_cluster.hpp"
#include "src/sim/machine_cluster.hpp"
#include "src/sim/mesh_cluster.hpp"

namespace windlass {
namespace {

/// A run's outcomes, and what instances still hold at its end.
struct Finished {
  std::vector<RequestOutcome> outcomes;
  std::int64_t left = 0;
};

/// One kind of cluster at `scale` instances (of each role), under more load than one of them can take.
struct Kind {
  char const* name;
  Finished (*run)(int scale, Workload const& workload);
  Workload (*workload)(std::uint64_t seed);
  ServiceLevel level;
};

Workload chats(std::uint64_t seed) {
  return make_workload(
      {.requests = 400, .arrivals = {.rate_per_s = 8, .variation = 2}, .lengths = share_gpt_lengths(), .seed = seed});
}

Finished pipelines(int scale, Workload const& workload) {
  auto const pair = *distserve_pair(ProfiledModel::opt_13b, {1, {1, 1}, {1, 1}});
  PipelineCluster cluster = pair;
  for (int i = 1; i < scale; ++i)
    cluster.instances.insert(cluster.instances.end(), pair.instances.begin(), pair.instances.end());
  auto report = simulate(cluster, workload);
  return {std::move(report.outcomes), report.left_kv_tokens};
}

Finished machines(int scale, Workload const& workload) {
  auto const steps = std::make_shared<TableLatency>(StepCurve{{128, 2048, 8192}, {30, 300, 1400}},
                                                    StepCurve{{1, 64, 512}, {25, 30, 45}});
  MachineCluster cluster{.machines = {}, .transfer_tokens_per_us = 0.03};
  cluster.machines.assign(std::size_t(scale), {MachinePool::prompt, steps, 20'000});
  cluster.machines.insert(cluster.machines.end(), std::size_t(scale), {MachinePool::token, steps, 20'000});
  auto report = simulate(cluster, workload);
  return {std::move(report.outcomes), report.left_kv_tokens};
}

Workload documents(std::uint64_t seed) {
  return make_conversations({.requests = 500,
                             .arrivals = {.rate_per_s = 4},
                             .documents = 40,
                             .zipf_exponent = 1,
                             .follow_up_share = 0.5,
                             .document_tokens = 5000,
                             .question_tokens = 1500,
                             .output_tokens = 182,
                             .seed = seed});
}

Finished caches(int scale, Workload const& workload) {
  CacheCluster const cluster{.prefill_instances = scale,
                             .decode_instances = scale,
                             .prefill = {.base_us = 10'000, .per_token_us = 112, .per_square_us = 1.05e-3},
                             .step = {.base_us = 20'000, .per_sequence_us = 500, .per_context_us = 0.029},
                             .kv_us_per_token = 6.5,
                             .cache_blocks = 400,
                             .route = mooncake_rule(2),
                             .rejection = RejectionRule::early,
                             .level = {.ttft_ms = 10'000, .tpot_ms = 26}};  // refused at arrival and after prefill
  return {simulate(cluster, workload).outcomes};
}

Workload mixed_lengths(std::uint64_t seed) {
  auto const lengths = [](RandomStream& random) {
    return TokenLengths{std::int32_t(10 * std::pow(5'000, random.uniform())),
                        std::int32_t(random.exponential(100)) + 1};
  };
  return make_workload({.requests = 250, .arrivals = {.rate_per_s = 1.5}, .lengths = lengths, .seed = seed});
}

Finished elastic(int scale, Workload const& workload) {
  ElasticCluster cluster{.degree_times = {},
                         .step = {.base_us = 18'000, .per_sequence_us = 50, .per_context_us = 0.175},
                         .kv_tokens = 60'000,
                         .migration_us_per_token = 0.6,
                         .predicted_output_tokens = 200,
                         .max_overtaking = 64};
  for (int degree = 1; degree <= scale; ++degree)
    cluster.degree_times.push_back(
        {.base_us = 16'000.0 + 1'000 * degree, .per_token_us = 39.2 / degree, .per_square_us = 7.6e-4 / degree});
  auto report = simulate(cluster, workload);
  return {std::move(report.outcomes), report.left_tokens};
}

Finished gateway(int scale, Workload const& workload) {
  return {simulate(GatewayCluster{.instances = scale, .base_us = 10'000, .us_per_token = 200}, workload).outcomes};
}

Workload two_models(std::uint64_t seed) {
  Workload workload = chats(seed);
  for (std::size_t i = 0; i < workload.size(); ++i) workload[i].model = std::int32_t(i % 2);
  return workload;
}

/// A mesh of `scale` times two GPUs: 2, 4 or 8 of them.
Finished meshes(int scale, Workload const& workload) {
  static auto const profiles =
      read_multiplex_profiles(WINDLASS_SOURCE_DIR "/inputs/profiles/muxserve_latency_a100.csv");
  int const gpus = scale >= 4 ? 8 : 2 * scale;
  MeshCluster cluster{.meshes = {{.gpus = gpus, .head_blocks = 400'000, .models = {}}}, .mean_tokens = 900};
  for (int model = 0; model < 2; ++model)
    cluster.meshes[0].models.push_back(
        {.model = model,
         .times = std::make_shared<SharedStepTimes>(profiles.at("llama-13b").at(gpus), 80),
         .rate_per_s = 1,
         .blocks_per_block = 40 * 40 / gpus,
         .prefill_parts = 9,
         .decode_parts = 3});
  auto report = simulate(cluster, workload);
  return {std::move(report.outcomes), report.left_blocks + report.quota_blocks_lost};
}

constexpr Kind kinds[] = {{"pipelines", pipelines, chats, {.ttft_ms = 300, .tpot_ms = 60}},
                          {"machines", machines, chats, {.ttft_ms = 400, .tpot_ms = 40}},
                          {"caches", caches, documents, {.ttft_ms = 3'000, .tpot_ms = 60}},
                          {"elastic", elastic, mixed_lengths, {.ttft_ms = 5'000, .tpot_ms = 50}},
                          {"gateway", gateway, chats, {.ttft_ms = 1'000, .tpot_ms = 1}},
                          {"meshes", meshes, two_models, {.ttft_ms = 2'000, .tpot_ms = 40}}};

class EveryCluster : public testing::TestWithParam<Kind> {};

TEST_P(EveryCluster, EndsEveryRequestOnceAndHoldsNothingAtTheEnd) {
  for (std::uint64_t seed = 0; seed < 3; ++seed)
    for (int const scale : {1, 2}) {
      auto const workload = GetParam().workload(seed);

      Finished const run = GetParam().run(scale, workload);

      ASSERT_EQ(run.outcomes.size(), workload.size());
      EXPECT_EQ(run.left, 0);
      EXPECT_GT(count_of(run.outcomes, RequestEnd::completed), 0);
      for (std::size_t i = 0; i < workload.size(); ++i) {
        RequestOutcome const& outcome = run.outcomes[i];
        EXPECT_NE(outcome.end, RequestEnd::unfinished) << i;
        EXPECT_EQ(outcome.arrival_us, workload[i].arrival_us);
        if (outcome.end != RequestEnd::completed) continue;
        EXPECT_LT(outcome.arrival_us, outcome.first_token_us) << i;
        EXPECT_LE(outcome.first_token_us, outcome.finish_us) << i;
        EXPECT_LT(outcome.finish_us, never_us) << i;
      }
    }
}

TEST_P(EveryCluster, GivesTheSameOutcomesForTheSameInput) {
  auto const workload = GetParam().workload(4);

  Finished const first = GetParam().run(2, workload), second = GetParam().run(2, workload);

  for (std::size_t i = 0; i < workload.size(); ++i) {
    EXPECT_EQ(first.outcomes[i].end, second.outcomes[i].end) << i;
    EXPECT_EQ(first.outcomes[i].first_token_us, second.outcomes[i].first_token_us) << i;
    EXPECT_EQ(first.outcomes[i].finish_us, second.outcomes[i].finish_us) << i;
  }
}

TEST_P(EveryCluster, ServesNoLessOfAFixedTraceWithMoreInstances) {
  constexpr double noise = 0.02;  // of all requests: another batch may put single ones behind a long prompt
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    auto const workload = GetParam().workload(seed);
    double first = 0, previous = 0;
    for (int const scale : {1, 2, 4}) {
      double const met = attainment(GetParam().run(scale, workload).outcomes, GetParam().level);
      EXPECT_GE(met, previous - noise) << "seed " << seed << ", scale " << scale;
      if (scale == 1) first = met;
      previous = met;
    }
    EXPECT_GT(previous, first + 0.1) << "the load was none";
  }
}

INSTANTIATE_TEST_SUITE_P(Simulator, EveryCluster, testing::ValuesIn(kinds),
                         [](auto const& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace windlass
