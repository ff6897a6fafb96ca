/// Recorded plans of a job, run again.
#include "jobs/plan_record.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <sstream>

#include "src/core/error.hpp"

namespace windlass {
namespace {

class RecordedPlans : public testing::Test {
 protected:
  RecordedPlans() {
    PlanFile file(path_);
    RunningSequence const running[] = {{SequenceId{7}, 1}, {SequenceId{9}, 700}};
    StepBatchingInput const step{.running = running, .prefill_budget = 512};
    file.add(step, plan_step_batching(step));
    std::int64_t const load[] = {5, unavailable_load, 3};
    DispatchInput const dispatch{.load = load};
    file.add(dispatch, plan_dispatch(dispatch));
    Microseconds const heard[] = {100, 20'000'000};
    FailureInput const failures{.now_us = 20'500'000, .last_look_us = 20'000'000, .heard_us = heard};
    file.add(failures, plan_failures(failures));
  }
  ~RecordedPlans() override { std::remove(path_.c_str()); }

  void replace(std::string const& from, std::string const& to) {
    std::stringstream content;
    content << std::ifstream(path_).rdbuf();
    std::string words = content.str();
    words.replace(words.find(from), from.size(), to);
    std::ofstream(path_) << words;
  }

  std::string path_ = testing::TempDir() + "/windlass_plans.jsonl";
};

TEST_F(RecordedPlans, AreTheSameWhenRunAgain) {
  auto const report = replay_plans(path_);

  EXPECT_EQ(report.plans,
            (std::map<std::string, std::int64_t>{{"dispatch", 1}, {"failures", 1}, {"step_batching", 1}}));
  EXPECT_FALSE(report.first_difference);
}

TEST_F(RecordedPlans, TheFirstDifferenceIsToldWithItsLine) {
  replace("\"instance\":2", "\"instance\":0");

  auto const report = replay_plans(path_);

  ASSERT_TRUE(report.first_difference);
  EXPECT_EQ(report.first_difference->line, 2);
  EXPECT_EQ(report.first_difference->policy, "dispatch");
  EXPECT_EQ(report.first_difference->replayed, "{\"instance\":2,\"stop\":0}");
}

TEST_F(RecordedPlans, ALineThatIsNoRecordIsNamed) {
  replace("step_batching", "step_guessing");

  try {
    replay_plans(path_);
    FAIL();
  } catch (InputError const& error) {
    EXPECT_NE(std::string(error.what()).find("windlass_plans.jsonl:1: "), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace windlass
