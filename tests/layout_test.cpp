// The grammar of --layout, and which ranks it gives to whom.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "src/core/error.hpp"
#include "src/policy/layout_plan.hpp"

namespace windlass {
namespace {

/// `ranks` on each of `hosts`, in order.
std::vector<RankPlace> ranks_on(int hosts, int ranks) {
  std::vector<RankPlace> places;
  for (int i = 0; i < hosts * ranks; ++i) places.push_back({.host = i / ranks});
  return places;
}

std::string refusal(std::string const& words) {
  try {
    parse_layout(words);
  } catch (InputError const& error) {
    return error.what();
  }
  return "";
}

TEST(LayoutGrammar, ReadsRolesDegreesSpareAndController) {
  Layout const layout = parse_layout("prefill=2xtp2,decode=1xtp4pp2,spare=1,controller=dedicated");

  EXPECT_EQ(layout.groups, (std::vector<InstanceGroup>{{.role = Role::prefill, .instances = 2, .tp = 2},
                                                       {.role = Role::decode, .instances = 1, .tp = 4, .pp = 2}}));
  EXPECT_EQ(layout.spare_ranks, 1);
  EXPECT_EQ(layout.controller, ControllerPlace::dedicated);
  EXPECT_EQ(layout.ranks(), 4 + 8 + 1 + 1);
}

TEST(LayoutGrammar, PrintsWhatItReads) {
  for (char const* words :
       {"auto", "mixed=3", "prefill=2xtp2,decode=1xtp4pp2,spare=1", "mixed=1xpp2", "auto,spare=2,controller=dedicated"})
    EXPECT_EQ(to_text(parse_layout(words)), words);
}

TEST(LayoutGrammar, NamesTheItemThatIsWrong) {
  EXPECT_NE(refusal("prefill=2,decoder=1").find("'decoder=1'"), std::string::npos);
  EXPECT_NE(refusal("mixed=0").find("1 or more"), std::string::npos);
  EXPECT_NE(refusal("mixed=2xtp0").find("'tp' needs a degree"), std::string::npos);
  EXPECT_NE(refusal("mixed=2xtp2qq").find("'qq'"), std::string::npos);
  EXPECT_NE(refusal("mixed=2x").find("must follow 'x'"), std::string::npos);
  EXPECT_NE(refusal("mixed").find("'=' is missing"), std::string::npos);
  EXPECT_NE(refusal("prefill=2").find("nobody to decode"), std::string::npos);
  EXPECT_NE(refusal("decode=2,spare=1").find("nobody to prefill"), std::string::npos);
  EXPECT_NE(refusal("auto,mixed=1").find("drop the others"), std::string::npos);
  EXPECT_NE(refusal("spare=1").find("names no instance"), std::string::npos);
  EXPECT_NE(refusal("controller=shared").find("dedicated"), std::string::npos);
  EXPECT_NE(refusal("mixed=1,").find("''"), std::string::npos);
  EXPECT_NE(refusal("mixed=999999999999").find("1 or more"), std::string::npos);
  EXPECT_NE(refusal("mixed=900000,mixed=900000").find("more than"), std::string::npos);
}

TEST(LayoutGrammar, RandomTextIsReadOrRefusedWithAnInputError) {
  std::mt19937 random(7);
  std::string const letters = "prefildcomxt=,0129-auspw ";
  for (int i = 0; i < 20000; ++i) {
    std::string words = i % 2 ? "prefill=2xtp2,decode=1xtp4pp2,spare=1" : "";
    for (int change = 0; change < 4; ++change)
      words.insert(random() % (words.size() + 1), 1, letters[random() % letters.size()]);
    try {
      Layout const layout = parse_layout(words);
      EXPECT_EQ(parse_layout(to_text(layout)).ranks(), layout.ranks()) << words;
    } catch (InputError const&) {
    }
  }
}

TEST(LayoutPlan, GivesRanksInOrderOnOneHost) {
  auto const places = ranks_on(1, 6);

  auto const plan =
      plan_layout({.wanted = parse_layout("prefill=2,decode=1xtp2,spare=1,controller=dedicated"), .ranks = places});

  ASSERT_EQ(plan.stop, LayoutStop::planned);
  ASSERT_EQ(plan.instances.size(), 3u);
  EXPECT_EQ(plan.instances[0].ranks, std::vector{1});  // rank 0 is the controller
  EXPECT_EQ(plan.instances[1].ranks, std::vector{2});
  EXPECT_EQ(plan.instances[2].ranks, (std::vector{3, 4}));
  EXPECT_EQ(plan.spare_ranks, std::vector{5});
  EXPECT_EQ(plan.instances[0].peers, std::vector{2});
  EXPECT_EQ(plan.instances[2].peers, (std::vector{0, 1}));
}

TEST(LayoutPlan, RefusesAnotherNumberOfRanksWithTheSum) {
  auto const places = ranks_on(1, 4);

  auto const few = plan_layout({.wanted = parse_layout("prefill=2,decode=1xtp4"), .ranks = places});
  auto const many = plan_layout({.wanted = parse_layout("mixed=2"), .ranks = places});

  EXPECT_EQ(few.stop, LayoutStop::wrong_rank_count);
  EXPECT_NE(few.reasons.back().find("takes 6 ranks (2 prefill + 4 decode), but the job has 4"), std::string::npos);
  EXPECT_EQ(many.stop, LayoutStop::wrong_rank_count);
  EXPECT_NE(many.reasons.back().find("spare=2"), std::string::npos);
}

TEST(LayoutPlan, LowAffinityPutsStagesOfFeederAndFedOnOneHost) {
  auto const places = ranks_on(2, 4);  // hosts {0,1,2,3}, {4,5,6,7}

  auto const plan = plan_layout(
      {.wanted = parse_layout("prefill=1xtp2pp2,decode=1xtp2pp2"), .ranks = places, .fabric = Fabric::slow});

  ASSERT_EQ(plan.stop, LayoutStop::planned);
  for (std::size_t stage = 0; stage < 2; ++stage)
    for (std::size_t i = 0; i < 2; ++i)
      EXPECT_EQ(places[std::size_t(plan.instances[0].ranks[stage * 2 + i])].host,
                places[std::size_t(plan.instances[1].ranks[stage * 2 + i])].host);
  EXPECT_EQ(plan.kv_reach, KvReach::inside_hosts);
  EXPECT_NE(plan.reasons.back().find("gathers its KV on its leader's host"), std::string::npos);
}

TEST(LayoutPlan, AFastFabricAllowsWhatLowAffinityForbids) {
  auto const places = ranks_on(2, 4);
  LayoutInput in{.wanted = parse_layout("prefill=1xtp2pp2,decode=1xtp2pp2"), .ranks = places, .fabric = Fabric::fast};

  auto const plan = plan_layout(in);

  EXPECT_EQ(plan.kv_reach, KvReach::across_hosts);  // prefill on the first host, decode on the second
}

TEST(LayoutPlan, LowAffinityPairsInstancesHostByHost) {
  auto const places = ranks_on(3, 2);

  auto const plan = plan_layout({.wanted = parse_layout("prefill=3,decode=3"), .ranks = places});

  EXPECT_EQ(plan.kv_reach, KvReach::inside_hosts);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(plan.instances[std::size_t(i)].peers, std::vector{3 + i});
}

TEST(LayoutPlan, SaysWhenKvMustCrossHosts) {
  auto const places = ranks_on(2, 1);

  auto const plan = plan_layout({.wanted = parse_layout("prefill=1,decode=1"), .ranks = places});

  EXPECT_EQ(plan.stop, LayoutStop::planned);
  EXPECT_EQ(plan.kv_reach, KvReach::across_hosts);
  EXPECT_NE(plan.reasons.back().find("KV crosses hosts"), std::string::npos);
}

TEST(LayoutPlan, AGroupStaysInOneNumaDomain) {
  std::vector<RankPlace> places = {{.numa = 0}, {.numa = 1}, {.numa = 0}, {.numa = 1}};

  auto const plan = plan_layout({.wanted = parse_layout("mixed=2xtp2"), .ranks = places});

  EXPECT_EQ(plan.instances[0].ranks, (std::vector{0, 2}));
  EXPECT_EQ(plan.instances[1].ranks, (std::vector{1, 3}));
}

TEST(LayoutPlan, AutoChoosesMixedInstancesForThroughputAndPairsForLatency) {
  auto const places = ranks_on(1, 4);

  auto const batch = plan_layout({.wanted = parse_layout("auto"), .ranks = places});
  auto const serve = plan_layout({.wanted = parse_layout("auto"), .ranks = places, .objective = Objective::latency});

  EXPECT_EQ(to_text(batch.layout), "mixed=4");
  EXPECT_EQ(to_text(serve.layout), "prefill=2,decode=2");
  EXPECT_FALSE(batch.reasons.empty());
}

TEST(LayoutPlan, AutoTakesTheSmallestDegreeAtWhichTheModelFits) {
  std::vector<RankPlace> const places(5, RankPlace{.memory_bytes = std::uint64_t{6} << 30});
  int const degrees[] = {1, 2, 4};
  LayoutInput in{.wanted = parse_layout("auto"),
                 .ranks = places,
                 .instance_bytes = std::uint64_t{10} << 30,
                 .possible_tp = degrees};

  auto const plan = plan_layout(in);
  in.instance_bytes = std::uint64_t{100} << 30;
  auto const too_large = plan_layout(in);

  EXPECT_EQ(to_text(plan.layout), "mixed=2xtp2,spare=1");
  EXPECT_EQ(too_large.stop, LayoutStop::model_does_not_fit);
}

TEST(LayoutPlan, EveryRankBelongsToExactlyOneWhateverTheHosts) {
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    Layout layout{.spare_ranks = int(random() % 3),
                  .controller = random() % 2 ? ControllerPlace::dedicated : ControllerPlace::shares};
    for (Role const role : {Role::prefill, Role::decode, Role::mixed})
      layout.groups.push_back(
          {.role = role, .instances = 1 + int(random() % 3), .tp = 1 + int(random() % 3), .pp = 1 + int(random() % 2)});
    std::vector<RankPlace> places;
    for (int rank = 0; rank < layout.ranks(); ++rank)
      places.push_back({.host = int(random() % 4), .numa = int(random() % 2)});

    auto const plan = plan_layout({.wanted = layout, .ranks = places});

    std::vector<int> all = plan.spare_ranks;
    if (layout.controller == ControllerPlace::dedicated) all.push_back(0);
    for (auto const& instance : plan.instances) {
      ASSERT_EQ(int(instance.ranks.size()), instance.tp * instance.pp);
      all.insert(all.end(), instance.ranks.begin(), instance.ranks.end());
    }
    std::sort(all.begin(), all.end());
    ASSERT_EQ(int(all.size()), layout.ranks());
    for (int rank = 0; rank < int(all.size()); ++rank) ASSERT_EQ(all[std::size_t(rank)], rank);
  }
}

}  // namespace
}  // namespace windlass
