/// What `windlass plan` says of ranked layouts: what a newcomer acts on.
#include "jobs/layout_report.hpp"

#include <gtest/gtest.h>

namespace windlass {
namespace {

LayoutProblem eight_gpus() {
  return {.model = {},
          .device = {},
          .nodes = 1,
          .gpus_per_node = 8,
          .workload = {},
          .level = {.ttft_ms = 1000, .tpot_ms = 50},
          .target = 0.9};
}

RankedLayout layout(LayoutKind kind, ParallelDegree degree, double goodput_per_gpu) {
  RankedLayout made{.kind = kind, .prefill = degree, .decode = degree, .goodput_per_gpu = goodput_per_gpu};
  bool const pair = kind == LayoutKind::pair_in_node || kind == LayoutKind::apart;
  made.gpus = degree.gpus() * (pair ? 2 : 1);
  made.units = 8 / made.gpus;
  made.limit = pair ? "TPOT" : "TTFT";
  made.cause = "a cause";
  return made;
}

bool says(std::string const& report, std::string const& words) { return report.find(words) != std::string::npos; }

TEST(LayoutReport, AdvisesToDisaggregateWithTheReasonAndTheJob) {
  std::vector<RankedLayout> const layouts{layout(LayoutKind::apart, {2, 1}, 1.2),
                                          layout(LayoutKind::chunked, {1, 1}, 0.8)};

  auto const report = layout_report(eight_gpus(), layouts, 10, "m.gguf");

  EXPECT_TRUE(says(report, "\nDisaggregate: 1.50 times")) << report;
  EXPECT_TRUE(says(report, "TTFT (a cause) breaks first"));
  EXPECT_TRUE(says(report, "sbatch --nodes=1 --ntasks-per-node=8"));
  EXPECT_TRUE(says(report, "--model m.gguf --input in.jsonl --output out.jsonl --layout prefill=2xtp2,decode=2xtp2'"));
}

TEST(LayoutReport, AdvisesAgainstItWhereItBringsLessThanAFewPercent) {
  std::vector<RankedLayout> const layouts{layout(LayoutKind::apart, {1, 1}, 0.82),
                                          layout(LayoutKind::colocated, {1, 1}, 0.8)};

  auto const report = layout_report(eight_gpus(), layouts, 10, "MODEL");

  EXPECT_TRUE(says(report, "Do not disaggregate: phases apart serve 1.02 times")) << report;
  EXPECT_TRUE(says(report, "TPOT (a cause) breaks first"));
}

TEST(LayoutReport, ShowsTheBestOfEachKindHoweverFewRowsAndSaysWhichKindsAreNot) {
  std::vector<RankedLayout> const layouts{
      layout(LayoutKind::elastic, {1, 1}, 2), layout(LayoutKind::colocated, {1, 2}, 1.1),
      layout(LayoutKind::colocated, {1, 1}, 1), layout(LayoutKind::pair_in_node, {3, 1}, 0.5)};

  auto const report = layout_report(eight_gpus(), layouts, 1, "MODEL");

  EXPECT_TRUE(says(report, "  1  elastic group")) << report;
  EXPECT_TRUE(says(report, "  2  colocated "));
  EXPECT_FALSE(says(report, "  3  colocated "));
  EXPECT_TRUE(says(report, "  4  disaggregated, in nodes"));
  EXPECT_TRUE(says(report, "  -  disaggregated, any node: none fits"));
  EXPECT_TRUE(says(report, "Do not disaggregate: phases apart serve 0.50 times"));  // of those that run as jobs
  EXPECT_TRUE(says(report, "Number 1 would serve 2.00 times the best of these: simulated only, jobs have no elastic"));
  EXPECT_TRUE(says(report, "To run number 3"));  // without pipeline stages
  EXPECT_TRUE(says(report, "--layout mixed=8xtp1'"));
}

TEST(LayoutReport, LeavesRanksOverAsSpares) {
  auto const report = layout_report(eight_gpus(), {layout(LayoutKind::pair_in_node, {3, 1}, 0.5)}, 5, "MODEL");

  EXPECT_TRUE(says(report, "--layout prefill=1xtp3,decode=1xtp3,spare=2'")) << report;
  EXPECT_TRUE(says(report, "Disaggregate: where one instance does both"));
}

}  // namespace
}  // namespace windlass
