#include "src/policy/step_batching.hpp"

#include <gtest/gtest.h>

namespace windlass {
namespace {

TEST(StepBatching, DecodesAlwaysGetTheirTokenAndPrefillsShareTheBudgetInOrder) {
  RunningSequence const running[] = {
      {SequenceId{1}, 300}, {SequenceId{2}, 1}, {SequenceId{3}, 500}, {SequenceId{4}, 1}};

  auto const plan = plan_step_batching({.running = running, .prefill_budget = 512});

  std::vector<StepShare> const expected = {
      {SequenceId{1}, 300}, {SequenceId{2}, 1}, {SequenceId{3}, 212}, {SequenceId{4}, 1}};
  EXPECT_EQ(plan.shares, expected);
  EXPECT_EQ(plan.stop, StepBatchingStop::budget_spent);
}

TEST(StepBatching, ASpentBudgetLeavesLaterPromptsWithoutAShare) {
  RunningSequence const running[] = {{SequenceId{1}, 64}, {SequenceId{2}, 64}, {SequenceId{3}, 1}};

  auto const plan = plan_step_batching({.running = running, .prefill_budget = 64});

  std::vector<StepShare> const expected = {{SequenceId{1}, 64}, {SequenceId{3}, 1}};
  EXPECT_EQ(plan.shares, expected);
}

TEST(StepBatching, NobodyRunningMeansNobodyServed) {
  auto const plan = plan_step_batching({.running = {}, .prefill_budget = 64});

  EXPECT_TRUE(plan.shares.empty());
  EXPECT_EQ(plan.stop, StepBatchingStop::all_served);
}

}  // namespace
}  // namespace windlass
