/// MuxServe (ICML'24): the placement of 16 models on 4 nodes of 8 GPUs for five ChatLMSYS workloads.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "jobs/csv.hpp"
#include "jobs/sim_files.hpp"
#include "src/policy/multiplex_placement.hpp"

namespace windlass {
namespace {

double kv_gib_per_token(int billions) {
  double const layers = billions == 7 ? 32 : billions == 13 ? 40 : billions == 30 ? 60 : 80;
  double const hidden = billions == 7 ? 4096 : billions == 13 ? 5120 : billions == 30 ? 6656 : 8192;
  return layers * hidden * 2 * 2 / (1024.0 * 1024 * 1024);
}

struct Workload16 {
  std::vector<std::string> names;
  std::vector<MultiplexModel> models;
};

std::map<std::string, MultiplexProfile> const& profiles() {
  static auto const all = read_multiplex_profiles(WINDLASS_SOURCE_DIR "/inputs/profiles/muxserve_latency_a100.csv");
  return all;
}

Workload16 chat_lmsys(int max_rate) {
  Table const table = read_csv(WINDLASS_SOURCE_DIR "/inputs/profiles/muxserve_chatlmsys_rates.csv");
  Workload16 workload;
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    if (int(table.value(row, table.column("max_rate"))) != max_rate) continue;
    std::string const model = table.rows[row][table.column("model")];  // "llama-13b"
    int const billions = std::stoi(model.substr(model.find('-') + 1));
    workload.names.push_back(table.rows[row][table.column("llm")]);
    workload.models.push_back({.profile = &profiles().at(model),
                               .billions = billions,
                               .rate = table.value(row, table.column("requests_per_s")),
                               .kv_gib_per_token = kv_gib_per_token(billions)});
  }
  return workload;
}

MultiplexPlacementPlan place(Workload16 const& workload, MultiplexGain gain) {
  return plan_multiplex_placement({.models = workload.models, .nodes = 4, .gpus_per_node = 8, .gain = gain});
}

TEST(MuxServeTable78, TheGoldenPlacementHasTheseEightMeshes) {
  using Group = std::set<std::pair<std::string, int>>;  ///< model and SM share
  std::multiset<std::pair<int, Group>> const golden{
      {8, {{"llm-1", 90}, {"llm-14", 30}}}, {4, {{"llm-11", 90}, {"llm-6", 30}}}, {4, {{"llm-10", 70}, {"llm-5", 30}}},
      {4, {{"llm-16", 90}, {"llm-7", 30}}}, {4, {{"llm-3", 90}, {"llm-12", 30}}}, {4, {{"llm-4", 90}, {"llm-9", 30}}},
      {2, {{"llm-15", 90}, {"llm-2", 30}}}, {2, {{"llm-8", 80}, {"llm-13", 30}}}};
  auto const workload = chat_lmsys(32);

  auto const plan = place(workload, MultiplexGain::published);

  std::multiset<std::pair<int, Group>> meshes;
  for (PlacedMesh const& mesh : plan.meshes) {
    Group group;
    for (PlacedModel const& model : mesh.models) group.insert({workload.names[model.model], model.sm_percent});
    meshes.insert({mesh.gpus, group});
  }
  EXPECT_EQ(meshes, golden);
}

void expect_objectives(MultiplexGain gain, std::vector<double> const& expected) {
  int const max_rates[] = {8, 13, 19, 26, 32};
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(place(chat_lmsys(max_rates[i]), gain).objective, expected[i], 0.001) << max_rates[i];
}

TEST(MuxServeTable78, FiveObjectivesOfThePublishedRule) {
  expect_objectives(MultiplexGain::published, {5.210, 7.489, 9.509, 10.599, 10.646});
}

TEST(MuxServeTable78, FiveObjectivesWithTheIndexCorrected) {
  expect_objectives(MultiplexGain::mean, {5.313, 8.149, 10.822, 11.292, 11.222});
}

TEST(MuxServeTable78, FiveObjectivesOfTheWeightedSum) {
  expect_objectives(MultiplexGain::weighted_sum, {5.326, 8.254, 10.832, 11.230, 10.646});
}

TEST(MuxServePlacement, SaysWhenAModelFitsNowhere) {
  auto workload = chat_lmsys(8);

  auto const plan = plan_multiplex_placement({.models = workload.models, .nodes = 1, .gpus_per_node = 2});

  EXPECT_EQ(plan.stop, MultiplexPlacementStop::nothing_fits);
}

}  // namespace
}  // namespace windlass
