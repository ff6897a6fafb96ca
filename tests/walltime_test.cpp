#include "src/policy/walltime.hpp"

#include <gtest/gtest.h>

namespace windlass {
namespace {

constexpr Microseconds second = 1'000'000;

WalltimeInput hour_left() {
  return {.now_us = 100 * second,
          .end_us = 3700 * second,
          .leave_us = 5 * second,
          .save_us = 20 * second,
          .finish_us = 30 * second};
}

TEST(Walltime, WithoutAnEndWorkGoesOn) {
  auto const plan = plan_walltime({.now_us = 5, .finish_us = 30 * second});
  EXPECT_EQ(plan.phase, WalltimePhase::admit);
  EXPECT_EQ(plan.stop_us, never_us);
}

TEST(Walltime, StepsEndWhereSavingAndLeavingStillFit) {
  auto in = hour_left();
  EXPECT_EQ(plan_walltime(in).phase, WalltimePhase::admit);
  EXPECT_EQ(plan_walltime(in).stop_us, 3675 * second);
  in.now_us = 3674 * second;
  EXPECT_EQ(plan_walltime(in).phase, WalltimePhase::finish);
  in.now_us = 3675 * second;
  EXPECT_EQ(plan_walltime(in).phase, WalltimePhase::stop);
}

TEST(Walltime, NewRequestsEndSoMuchEarlierAsRunningOnesNeed) {
  auto in = hour_left();
  in.now_us = 3644 * second;
  EXPECT_EQ(plan_walltime(in).phase, WalltimePhase::admit);
  in.now_us = 3645 * second;
  EXPECT_EQ(plan_walltime(in).phase, WalltimePhase::finish);
}

TEST(Walltime, ADrainEndsNewRequestsAtOnce) {
  auto in = hour_left();
  in.drain_wanted = true;
  EXPECT_EQ(plan_walltime(in).phase, WalltimePhase::finish);
  in.end_us = never_us;
  EXPECT_EQ(plan_walltime(in).phase, WalltimePhase::finish);
}

TEST(Walltime, AnEarlierLastStepLeavesTheTimeForSavingAsItIs) {
  auto in = hour_left();
  in.drain_wanted = true;
  in.last_step_us = 130 * second;
  EXPECT_EQ(plan_walltime(in).stop_us, 130 * second);
  in.now_us = 130 * second;
  EXPECT_EQ(plan_walltime(in).phase, WalltimePhase::stop);
  in.now_us = 100 * second;
  in.end_us = 110 * second;  // less than saving takes
  EXPECT_EQ(plan_walltime(in).phase, WalltimePhase::stop);
}

TEST(Walltime, MoreToSaveThanTimeMeansNow) {
  auto in = hour_left();
  in.save_us = 10'000 * second;
  EXPECT_EQ(plan_walltime(in).phase, WalltimePhase::stop);
}

TEST(SaveAtTheEnd, TheCheaperOfSavingAndComputingAgainIsTaken) {
  UnfinishedWork const work[] = {{.computed_tokens = 4096, .new_bytes = 100'000'000, .bytes = 100'000'000},
                                 {.computed_tokens = 10, .new_bytes = 100'000'000, .bytes = 100'000'000}};
  auto const plan = plan_save({.work = work,
                               .write_bytes_per_us = 1000,        // 1 GB/s: 0.1 s each
                               .read_bytes_per_us = 2000,         // 0.05 s each
                               .compute_tokens_per_us = 0.002});  // 2 s and 0.005 s
  EXPECT_EQ(plan.choices, (std::vector{SaveChoice::save, SaveChoice::recompute_is_cheaper}));
  EXPECT_EQ(plan.write_us, 100'000);
}

TEST(SaveAtTheEnd, WhatIsOnDiskAlreadyCostsNothingToSave) {
  UnfinishedWork const work[] = {{.computed_tokens = 200, .new_bytes = 0, .bytes = 100'000'000}};
  SaveInput in{.work = work, .write_bytes_per_us = 1000, .read_bytes_per_us = 2000, .compute_tokens_per_us = 0.002};
  EXPECT_EQ(plan_save(in).choices[0], SaveChoice::save);
}

TEST(SaveAtTheEnd, WhereTimeIsShortTheMostTimePerByteGoesFirst) {
  UnfinishedWork const work[] = {{.computed_tokens = 500, .new_bytes = 100, .bytes = 100},
                                 {.computed_tokens = 4000, .new_bytes = 100, .bytes = 100},
                                 {.computed_tokens = 1000, .new_bytes = 100, .bytes = 100}};
  SaveInput const in{
      .work = work, .time_us = 200, .write_bytes_per_us = 1, .read_bytes_per_us = 1, .compute_tokens_per_us = 1};
  EXPECT_EQ(plan_save(in).choices, (std::vector{SaveChoice::no_time, SaveChoice::save, SaveChoice::save}));
  EXPECT_EQ(plan_save(in).write_us, 200);
}

TEST(SaveAtTheEnd, UnknownSpeedsMeanEverythingIsSaved) {
  UnfinishedWork const work[] = {{.computed_tokens = 1, .new_bytes = 1'000'000'000, .bytes = 1'000'000'000}};
  EXPECT_EQ(plan_save({.work = work}).choices[0], SaveChoice::save);
}

TEST(Requeue, EndsAfterThreeAllocationsWithoutProgress) {
  EXPECT_EQ(plan_requeue({.without_progress = 0}), RequeueChoice::requeue);
  EXPECT_EQ(plan_requeue({.without_progress = 2}), RequeueChoice::requeue);
  EXPECT_EQ(plan_requeue({.without_progress = 3}), RequeueChoice::no_progress);
}

}  // namespace
}  // namespace windlass
