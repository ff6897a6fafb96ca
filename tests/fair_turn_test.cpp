// Whose turn it is between users, and whether a deadline can be met.
#include "src/policy/fair_turn.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "src/policy/deadline.hpp"

namespace windlass {
namespace {

TEST(FairTurn, GoesByPriorityThenByTokensThenByArrival) {
  std::vector<WaitingUser> users = {{.priority = 0, .served_tokens = 500, .arrival = 1},
                                    {.priority = 0, .served_tokens = 20, .arrival = 3},
                                    {.priority = 0, .served_tokens = 20, .arrival = 2},
                                    {.priority = 5, .served_tokens = 0, .arrival = 0}};
  EXPECT_EQ(plan_fair_turn(users), 2u);

  users[0].priority = -1;

  EXPECT_EQ(plan_fair_turn(users), 0u);
  EXPECT_EQ(plan_fair_turn({}), std::nullopt);
}

TEST(FairTurn, NobodySavesUpTurnsWhileAway) {
  std::vector<WaitingUser> const others = {{.served_tokens = 300}, {.served_tokens = 200}};

  EXPECT_EQ(served_when_waiting(0, others), 200);
  EXPECT_EQ(served_when_waiting(250, others), 250);
  EXPECT_EQ(served_when_waiting(7, {}), 7);
}

TEST(Deadline, IsTooLateOnlyWhereWhatWasMeasuredSaysSo) {
  DeadlineInput input{.left_us = 10'000, .prompt_tokens = 50, .tokens_ahead = 40, .least_tokens = 10};
  EXPECT_EQ(plan_deadline(input).verdict, DeadlinePlan::Verdict::possible);  // nothing was measured

  input.us_per_prompt_token = 100;
  input.us_per_step = 90;
  DeadlinePlan const possible = plan_deadline(input);
  input.us_per_step = 110;
  DeadlinePlan const late = plan_deadline(input);

  EXPECT_EQ(possible.verdict, DeadlinePlan::Verdict::possible);
  EXPECT_EQ(possible.needed_us, 9'900);
  EXPECT_EQ(late.verdict, DeadlinePlan::Verdict::too_late);
  EXPECT_EQ(late.retry_us, 4'000);
  EXPECT_EQ(plan_deadline({.left_us = 0}).verdict, DeadlinePlan::Verdict::too_late);
}

}  // namespace
}  // namespace windlass
