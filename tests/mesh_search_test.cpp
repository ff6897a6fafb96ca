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
  for (std::string const& mesh : layouts[0].meshes) gpus += std::stoi(mesh);
  EXPECT_LE(gpus, 8);
  std::string const table = mesh_table(problem, layouts);
  EXPECT_NE(table.find("Share: "), std::string::npos) << table;
}

TEST(MeshPlanner, AProblemWithOneModelIsNotForIt) {
  EXPECT_TRUE(names_several_models(WINDLASS_SOURCE_DIR "/inputs/scenarios/plan_models.json"));
  EXPECT_FALSE(names_several_models(WINDLASS_SOURCE_DIR "/inputs/scenarios/plan_llama70b.json"));
}

}  // namespace
}  // namespace windlass
