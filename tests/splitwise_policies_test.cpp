/// Joint choice of machines, batches with bounded preemption, provisioning (Splitwise, ISCA'24, section IV).
#include <gtest/gtest.h>

#include "src/policy/machine_batch.hpp"
#include "src/policy/pool_assignment.hpp"
#include "src/policy/provisioning.hpp"
#include "src/policy/transfer_timing.hpp"

namespace windlass {
namespace {

MachineLoad idle(MachinePool pool) {
  return {.pool = pool, .pending_tokens = 0, .queued_tasks = 0, .reserved_tokens = 0, .kv_tokens = 10'000};
}

TEST(PoolAssignment, ChoosesShortestQueueAndLeastReservedMachine) {
  MachineLoad machines[] = {idle(MachinePool::prompt), idle(MachinePool::prompt), idle(MachinePool::token),
                            idle(MachinePool::token)};
  machines[0].pending_tokens = 5;
  machines[2].reserved_tokens = 5;

  auto const plan = plan_pool_assignment({.machines = machines, .prompt_tokens = 100, .predicted_output_tokens = 10});

  EXPECT_EQ(plan.prompt_machine, 1u);
  EXPECT_EQ(plan.token_machine, 3u);
  EXPECT_EQ(plan.stop, PoolAssignmentStop::home_pools);
}

TEST(PoolAssignment, PrefersTheMixedPoolToBorrowing) {
  MachineLoad machines[] = {idle(MachinePool::prompt), idle(MachinePool::mixed), idle(MachinePool::token)};
  machines[0].pending_tokens = 8'100;
  machines[0].queued_tasks = 1;

  auto const plan = plan_pool_assignment({.machines = machines, .prompt_tokens = 100, .predicted_output_tokens = 10});

  EXPECT_EQ(plan.prompt_machine, 1u);
}

TEST(PoolAssignment, BorrowsTheLeastPendingTokenMachineForALongPromptQueue) {
  MachineLoad machines[] = {idle(MachinePool::prompt), idle(MachinePool::token), idle(MachinePool::token)};
  machines[0].pending_tokens = 8'100;
  machines[0].queued_tasks = 1;
  machines[1].pending_tokens = 3;

  auto const plan = plan_pool_assignment({.machines = machines, .prompt_tokens = 100, .predicted_output_tokens = 10});

  EXPECT_EQ(plan.prompt_machine, 2u);
  EXPECT_EQ(plan.stop, PoolAssignmentStop::prompt_borrowed);
}

TEST(PoolAssignment, ALongPromptStillGoesToAnEmptyQueue) {
  MachineLoad const machines[] = {idle(MachinePool::prompt), idle(MachinePool::token)};

  auto const plan = plan_pool_assignment({.machines = machines, .prompt_tokens = 9'000, .predicted_output_tokens = 10});

  EXPECT_EQ(plan.prompt_machine, 0u);
}

TEST(PoolAssignment, ReservesThePredictedOutputBeforeItChoosesAMachine) {
  MachineLoad machines[] = {idle(MachinePool::prompt), idle(MachinePool::token)};
  machines[1].reserved_tokens = 9'000;

  auto const fits = plan_pool_assignment({.machines = machines, .prompt_tokens = 500, .predicted_output_tokens = 400});
  auto const full = plan_pool_assignment({.machines = machines, .prompt_tokens = 500, .predicted_output_tokens = 499});

  EXPECT_EQ(fits.stop, PoolAssignmentStop::home_pools);
  EXPECT_EQ(full.stop, PoolAssignmentStop::token_borrowed);
  EXPECT_EQ(full.token_machine, 0u);
}

MachineTask prompt(std::uint64_t id, std::int64_t tokens) {
  return {.id = SequenceId{id},
          .phase = TaskPhase::prompt,
          .state = TaskState::pending,
          .step_tokens = tokens,
          .kv_tokens = tokens,
          .passed_over = 0};
}

MachineTask token(std::uint64_t id, TaskState state) {
  return {.id = SequenceId{id},
          .phase = TaskPhase::token,
          .state = state,
          .step_tokens = 1,
          .kv_tokens = 10,
          .passed_over = 0};
}

TEST(MachineBatch, PromptsPreemptRunningTokensWhenTheBudgetIsFull) {
  MachineTask const waiting[] = {prompt(1, 2000), prompt(2, 100)};
  std::vector<MachineTask> const running(60, token(9, TaskState::running));

  auto const plan = plan_machine_batch({.waiting = waiting, .running = running, .free_kv_tokens = 10'000});

  EXPECT_EQ(plan.waiting, std::vector<std::uint32_t>{0});
  EXPECT_EQ(plan.running.size(), 48u);  // 2048 - 2000
  EXPECT_EQ(plan.stop, MachineBatchStop::token_limit);
}

TEST(MachineBatch, ATaskPassedOverTooOftenGoesFirst) {
  MachineTask waiting[] = {prompt(1, 2040), token(2, TaskState::blocked)};
  waiting[1].passed_over = 4;

  auto const plan = plan_machine_batch({.waiting = waiting, .running = {}, .free_kv_tokens = 10'000});

  EXPECT_EQ(plan.waiting, (std::vector<std::uint32_t>{1, 0}));
}

TEST(MachineBatch, AnOversizedPromptMayGoFirst) {
  MachineTask const waiting[] = {prompt(1, 5000)};

  auto const plan = plan_machine_batch({.waiting = waiting, .running = {}, .free_kv_tokens = 10'000});

  EXPECT_EQ(plan.waiting.size(), 1u);
}

TEST(MachineBatch, KeepsRunningTokensThatNeedNoMorePages) {
  MachineTask const waiting[] = {prompt(1, 100)};
  MachineTask const running[] = {token(2, TaskState::running)};

  auto const plan = plan_machine_batch({.waiting = waiting, .running = running, .free_kv_tokens = 0});

  EXPECT_TRUE(plan.waiting.empty());
  EXPECT_EQ(plan.running.size(), 1u);
  EXPECT_EQ(plan.stop, MachineBatchStop::no_free_kv);
}

TEST(Provisioning, SpendsTheBudgetWhereTheRateIsHighest) {
  auto const rate = [](MachineMix mix) { return std::min(2.0 * mix.prompt_machines, 1.0 * mix.token_machines); };

  auto const plan =
      plan_provisioning({.budget = 12, .prompt_machine_price = 1, .token_machine_price = 1, .max_rate = rate});

  EXPECT_EQ(plan.mix.prompt_machines, 4);
  EXPECT_EQ(plan.mix.token_machines, 8);
}

TEST(Provisioning, SaysWhenTheBudgetBuysNoPair) {
  auto const plan = plan_provisioning(
      {.budget = 1.5, .prompt_machine_price = 1, .token_machine_price = 1, .max_rate = [](MachineMix) { return 1.0; }});

  EXPECT_EQ(plan.stop, ProvisioningStop::budget_too_small);
}

TEST(TransferTiming, OverlapsLongPromptsAndNotShortOnes) {
  // Llama-70B on H100: 40 µs a layer of synchronisation, 50 bytes/ns
  auto const timing = [](double tokens, double prefill_us) {
    return plan_transfer_timing({.kv_bytes = tokens * 327'680,
                                 .bytes_per_us = 50'000,
                                 .prefill_us = prefill_us,
                                 .layers = 80,
                                 .message_us = 10,
                                 .synchronisation_us = 40})
        .timing;
  };

  EXPECT_EQ(timing(128, 58'000), TransferTiming::after_prefill);
  EXPECT_EQ(timing(2048, 134'000), TransferTiming::layer_wise);
}

}  // namespace
}  // namespace windlass
