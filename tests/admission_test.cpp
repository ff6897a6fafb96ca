#include "src/policy/admission.hpp"

#include <gtest/gtest.h>

namespace windlass {
namespace {

TEST(Admission, StopsAtTheFirstSequenceThatDoesNotFit) {
  WaitingSequence const waiting[] = {{SequenceId{1}, 512, 4}, {SequenceId{2}, 512, 9}, {SequenceId{3}, 8, 1}};

  auto const plan = plan_admission({.waiting = waiting, .free_pages = 10, .token_budget = 4096});

  EXPECT_EQ(plan.admitted, std::vector{SequenceId{1}});  // 3 would fit, but must not overtake 2
  EXPECT_EQ(plan.stop, AdmissionStop::no_free_pages);
}

TEST(Admission, StopsWhenTheTokenBudgetIsSpent) {
  WaitingSequence const waiting[] = {{SequenceId{1}, 300, 1}, {SequenceId{2}, 300, 1}};

  auto const plan = plan_admission({.waiting = waiting, .free_pages = 10, .token_budget = 599});

  EXPECT_EQ(plan.admitted, std::vector{SequenceId{1}});
  EXPECT_EQ(plan.stop, AdmissionStop::budget_spent);
}

TEST(Admission, AdmitsAnExactFitToTheLastPageAndToken) {
  WaitingSequence const waiting[] = {{SequenceId{1}, 300, 4}, {SequenceId{2}, 300, 6}};

  auto const plan = plan_admission({.waiting = waiting, .free_pages = 10, .token_budget = 600});

  EXPECT_EQ(plan.admitted.size(), 2u);
  EXPECT_EQ(plan.stop, AdmissionStop::queue_empty);
}

}  // namespace
}  // namespace windlass
