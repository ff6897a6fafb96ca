/// Planning for several models: shared GPUs, turns, or GPUs of their own.
#include "jobs/mesh_search.hpp"

#include <gtest/gtest.h>

namespace windlass {
namespace {

TEST(MeshPlanner, EightModelsOfUnequalPopularityShareOneNode) {
  auto problem = read_mesh_problem(WINDLASS_SOURCE_DIR "/inputs/scenarios/plan_models.json");
  double shares = 0;
  for (SharedModel const& model : problem.models) shares += model.share;
  ASSERT_NEAR(shares, 1, 1e-9);

  auto const layouts = search_meshes(problem);

  ASSERT_EQ(layouts.size(), 3u);
  EXPECT_EQ(layouts[0].kind, "multiplexed");
  EXPECT_GT(layouts[0].goodput_per_s, 0);
  EXPECT_LE(layouts[0].ttft_use, 1.001);
  EXPECT_LE(layouts[0].tpot_use, 1.001);
  int gpus = 0;
  for (NamedMesh const& mesh : layouts[0].meshes) gpus += mesh.gpus;
  EXPECT_LE(gpus, 8);
  std::string const table = mesh_table(problem, layouts);
  EXPECT_NE(table.find("Share: "), std::string::npos) << table;
}

MeshProblem two_models() {
  MeshProblem problem = read_mesh_problem(WINDLASS_SOURCE_DIR "/inputs/scenarios/plan_models.json");
  problem.models.resize(2);
  return problem;
}

bool says(std::string const& table, std::string const& words) { return table.find(words) != std::string::npos; }

TEST(MeshPlanner, NamesTheJobThatServesEachModelOnDevicesOfItsOwn) {
  std::vector<RankedMeshes> const layouts{
      {.kind = "multiplexed", .meshes = {{8, {"chat-7b", "code-13b"}}}, .goodput_per_s = 12, .limit = "TPOT"},
      {.kind = "alone", .meshes = {{4, {"chat-7b"}}, {2, {"code-13b"}}}, .goodput_per_s = 10, .limit = "TTFT"}};

  auto const table = mesh_table(two_models(), layouts);

  EXPECT_TRUE(says(table, "Share: 1.2 times")) << table;
  EXPECT_TRUE(says(table, "\nwait\nEND\n")) << table;
  EXPECT_TRUE(says(table, "Sharing is simulated only")) << table;
  EXPECT_TRUE(says(table, "\nsbatch --nodes=1 --ntasks-per-node=8 <<'END'\n#!/bin/bash\nsrun ")) << table;
  EXPECT_TRUE(says(table,
                   "srun --exact --nodes=1 --ntasks=4 windlass batch --model chat-7b --input chat-7b.jsonl --output "
                   "chat-7b.out.jsonl --layout mixed=1xtp4 &\n"))
      << table;
  EXPECT_TRUE(says(table, "--model code-13b --input code-13b.jsonl --output code-13b.out.jsonl --layout mixed=1xtp2"));
}

TEST(MeshPlanner, SaysWhenNoModelCouldHaveDevicesOfItsOwn) {
  std::vector<RankedMeshes> const layouts{
      {.kind = "in turns", .meshes = {{8, {"chat-7b", "code-13b"}}}, .goodput_per_s = 12, .limit = "TPOT"},
      {.kind = "alone", .meshes = {}, .limit = "memory"}};

  auto const table = mesh_table(two_models(), layouts);

  EXPECT_TRUE(says(table, "None of them runs as a job")) << table;
  EXPECT_FALSE(says(table, "sbatch")) << table;
}

TEST(MeshPlanner, AProblemWithOneModelIsNotForIt) {
  EXPECT_TRUE(names_several_models(WINDLASS_SOURCE_DIR "/inputs/scenarios/plan_models.json"));
  EXPECT_FALSE(names_several_models(WINDLASS_SOURCE_DIR "/inputs/scenarios/plan_llama70b.json"));
}

}  // namespace
}  // namespace windlass
