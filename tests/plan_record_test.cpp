/// Recorded plans of a job, run again.
#include "jobs/plan_record.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <sstream>

#include "src/core/error.hpp"

namespace windlass {
namespace {

/// Policies that are asked once or twice in a job.
void add_rare_plans(PlanFile& file) {
  RankPlace const ranks[] = {{.host = 0, .memory_bytes = 1u << 30}, {.host = 0}, {.host = 1}, {.host = 1}};
  LayoutInput const layout{.wanted = parse_layout("prefill=1xtp2,decode=1,spare=1"), .ranks = ranks};
  file.add(layout, plan_layout(layout));
  WalltimeInput const time{.now_us = 5, .end_us = 90'000'000, .save_us = 1'000'000, .finish_us = 3};
  file.add(time, plan_walltime(time));
  UnfinishedWork const work[] = {{.computed_tokens = 900, .new_bytes = 1u << 20, .bytes = 2u << 20}, {}};
  SaveInput const save{.work = work, .time_us = 7'000'000, .write_bytes_per_us = 812.25, .compute_tokens_per_us = 1e-4};
  file.add(save, plan_save(save));
  RequeueInput const requeue{.without_progress = 3};
  file.add(requeue, plan_requeue(requeue));
  WaitingUser const users[] = {{.priority = 1, .served_tokens = 4, .arrival = 1}, {.served_tokens = 9, .arrival = 2}};
  file.add(users, plan_fair_turn(users));
  file.add(WaitingUsers{}, plan_fair_turn({}));
  DeadlineInput const deadline{.left_us = 10, .prompt_tokens = 100, .us_per_prompt_token = 3.3, .us_per_step = 7};
  file.add(deadline, plan_deadline(deadline));
}

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
    add_rare_plans(file);
  }
  ~RecordedPlans() override { std::remove(path_.c_str()); }

  void replace(std::string const& from, std::string const& to) {
    std::stringstream content;
    content << std::ifstream(path_).rdbuf();
    std::string words = content.str();
    std::size_t const at = words.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    words.replace(at, from.size(), to);
    std::ofstream(path_) << words;
  }

  std::string path_ = testing::TempDir() + "/windlass_plans.jsonl";
};

TEST_F(RecordedPlans, AreTheSameWhenRunAgain) {
  auto const report = replay_plans(path_);

  EXPECT_EQ(report.plans, (std::map<std::string, std::int64_t>{{"deadline", 1},
                                                               {"dispatch", 1},
                                                               {"failures", 1},
                                                               {"fair_turn", 2},
                                                               {"layout", 1},
                                                               {"requeue", 1},
                                                               {"save", 1},
                                                               {"step_batching", 1},
                                                               {"walltime", 1}}));
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

TEST_F(RecordedPlans, EachPolicysOwnPlanIsCompared) {
  struct Change {
    char const *policy, *from, *to;
  };
  Change const changes[] = {
      {"layout", "\"peers\":[1]", "\"peers\":[]"}, {"walltime", "\"plan\":{\"phase\":0", "\"plan\":{\"phase\":2"},
      {"save", "\"write_us\":", "\"write_us\":1"}, {"requeue", "\"choice\":1", "\"choice\":0"},
      {"fair_turn", "\"user\":1", "\"user\":0"},   {"deadline", "\"verdict\":1", "\"verdict\":0"}};
  for (Change const& change : changes) {
    replace(change.from, change.to);

    auto const report = replay_plans(path_);

    ASSERT_TRUE(report.first_difference) << change.policy;
    EXPECT_EQ(report.first_difference->policy, change.policy);
    replace(change.to, change.from);
  }
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
