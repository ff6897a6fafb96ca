/// ChunkAttention (ACL'24): rows in tree order and the KV that sharing saves. MuxServe: what starts, and quotas.
#include <gtest/gtest.h>

#include <numeric>

#include "src/policy/multiplex_schedule.hpp"
#include "src/policy/shared_prefix_rows.hpp"

namespace windlass {
namespace {

TEST(SharedPrefixRows, SequencesThatShareAChunkLieSideBySide) {
  std::uint64_t const a[] = {1, 11}, b[] = {2}, c[] = {1, 12}, d[] = {1, 11};
  ChunkedSequence const sequences[] = {{a, 140}, {b, 70}, {c, 140}, {d, 150}};

  auto const plan = plan_shared_prefix_rows({.sequences = sequences});

  EXPECT_EQ(plan.row_of, (std::vector<std::size_t>{0, 3, 2, 1}));
  ASSERT_EQ(plan.shared.size(), 2u);
  EXPECT_EQ(plan.shared[0].rows, 3u);  // chunk 1
  EXPECT_EQ(plan.shared[1].hash, 11u);
  EXPECT_EQ(plan.shared[1].first_row, 0u);  // rows 0 and 1
  EXPECT_EQ(plan.shared[1].rows, 2u);
}

TEST(SharedPrefixRows, EverySequenceEndsInAPrivateChunkThatIsNotFull) {
  std::uint64_t const whole[] = {1, 2};
  ChunkedSequence const sequences[] = {{whole, 128}, {whole, 128}};

  auto const plan = plan_shared_prefix_rows({.sequences = sequences});

  EXPECT_EQ(plan.held_chunks, 2 + 2);
}

TEST(SharedPrefixRows, NothingSharedIsSaid) {
  std::uint64_t const a[] = {1}, b[] = {2};
  ChunkedSequence const sequences[] = {{a, 64}, {b, 64}};

  EXPECT_EQ(plan_shared_prefix_rows({.sequences = sequences}).stop, SharedPrefixRowsStop::nothing_shared);
}

TEST(ChunkAttentionTable87, KvBytesOf32SequencesWithASharedSystemPrompt) {
  constexpr std::int64_t kv_bytes_per_token = 524'288;  // Llama-7B
  std::vector<std::uint64_t> shared(4096 / 64);
  std::iota(shared.begin(), shared.end(), 1u);
  std::vector<ChunkedSequence> const sequences(32, {shared, 4096 + 512});

  auto const plan = plan_shared_prefix_rows({.sequences = sequences});

  std::int64_t const bytes = plan.held_chunks * 64 * kv_bytes_per_token;
  EXPECT_EQ(bytes, (4096 + 32 * 576) * kv_bytes_per_token);  // 512 tokens fill 8 chunks, the tail is a ninth
  double const apart = 32.0 * (4096 + 512) * kv_bytes_per_token;
  EXPECT_NEAR(apart / double(bytes), 6.8, 0.3);
}

MultiplexQueue busy_model() {
  return {.waiting_prompts = 4,
          .oldest_waiting_us = 0,
          .oldest_running_us = 0,
          .decoding_sequences = 8,
          .prefill_runs = false,
          .decode_runs = false,
          .waits_for_cache = false,
          .prefill_parts = 8,
          .decode_parts = 3};
}

TEST(MultiplexSchedule, StartsPrefillsBeforeDecodes) {
  MultiplexQueue const models[] = {busy_model(), busy_model()};

  auto const plan = plan_multiplex_schedule({.rule = SchedulingRule::prefill_first, .models = models, .ledger = {}});

  ASSERT_EQ(plan.jobs.size(), 2u);
  EXPECT_EQ(plan.jobs[0].phase, JobPhase::prefill);
  EXPECT_EQ(plan.jobs[1].phase, JobPhase::decode);  // 2 free parts and one of the 2 that may be shared
  EXPECT_EQ(plan.next_prefill, 1u);
}

TEST(MultiplexSchedule, HoldsDecodesBackWhileAPrefillWaitsForItsShare) {
  MultiplexQueue const models[] = {busy_model()};
  ShareLedger const ledger{.free_parts = 4, .single_parts = 6};

  auto const plan =
      plan_multiplex_schedule({.rule = SchedulingRule::prefill_first, .models = models, .ledger = ledger});

  EXPECT_TRUE(plan.jobs.empty());
  EXPECT_EQ(plan.stop, MultiplexScheduleStop::prefill_waits_for_share);
}

TEST(MultiplexSchedule, AModelThatWaitsForCacheOnlyDecodes) {
  MultiplexQueue models[] = {busy_model()};
  models[0].waits_for_cache = true;

  auto const plan = plan_multiplex_schedule({.rule = SchedulingRule::prefill_first, .models = models, .ledger = {}});

  ASSERT_EQ(plan.jobs.size(), 1u);
  EXPECT_EQ(plan.jobs[0].phase, JobPhase::decode);
}

MultiplexSchedulePlan first_come(std::span<MultiplexQueue const> models) {
  return plan_multiplex_schedule({.rule = SchedulingRule::first_come, .models = models, .ledger = {}});
}

TEST(MultiplexSchedule, FirstComeServesTheOldestRequestsModel) {
  MultiplexQueue models[] = {busy_model(), busy_model()};
  models[0].oldest_waiting_us = 9;
  models[1].oldest_running_us = 5;

  auto const plan = first_come(models);

  ASSERT_EQ(plan.jobs.size(), 2u);
  EXPECT_EQ(plan.jobs[0].phase, JobPhase::prefill);
  EXPECT_EQ(plan.jobs[0].model, 1u);
  EXPECT_EQ(plan.jobs[1].phase, JobPhase::decode);
  EXPECT_EQ(plan.jobs[1].model, 0u);
}

TEST(MultiplexSchedule, FirstComeLetsNobodyPrefillBeforeTheOldestRequest) {
  MultiplexQueue models[] = {busy_model(), busy_model()};
  models[0].waiting_prompts = 0;  // its quota is full; its oldest request still waits
  models[1].oldest_waiting_us = 9;

  auto const plan = first_come(models);

  for (StartedJob const& job : plan.jobs) EXPECT_EQ(job.phase, JobPhase::decode);
}

TEST(MultiplexSchedule, RoundRobinKeepsTheTurnOfAPrefillThatFindsNoShare) {
  MultiplexQueue models[] = {busy_model(), busy_model()};
  models[0].prefill_parts = 10;
  models[0].decode_runs = true;
  models[1].prefill_parts = 3;
  ShareLedger const ledger{.free_parts = 6, .single_parts = 4, .overload_parts = 2};

  auto const turns = plan_multiplex_schedule({.rule = SchedulingRule::round_robin, .models = models, .ledger = ledger});
  auto const adaptive =
      plan_multiplex_schedule({.rule = SchedulingRule::prefill_first, .models = models, .ledger = ledger});

  EXPECT_TRUE(turns.jobs.empty());
  EXPECT_EQ(turns.stop, MultiplexScheduleStop::prefill_waits_for_share);
  ASSERT_FALSE(adaptive.jobs.empty());
  EXPECT_EQ(adaptive.jobs[0].model, 1u);
}

TEST(Quota, MovesBlocksFromIdleToBusyModelsAndLosesNone) {
  QuotaUse const models[] = {
      {.quota_sequences = 100, .blocks_per_sequence = 7, .mean_batch = 20, .demand_sequences = 20},
      {.quota_sequences = 50, .blocks_per_sequence = 11, .mean_batch = 50, .demand_sequences = 90}};

  auto const plan = plan_quota({.models = models});

  EXPECT_EQ(plan.stop, QuotaStop::adapted);
  EXPECT_LT(plan.quota_sequences[0], 100);
  EXPECT_EQ(plan.quota_sequences[1], 55);  // 10 % growth
  EXPECT_EQ(plan.quota_sequences[0] * 7 + plan.quota_sequences[1] * 11 + plan.left_blocks, 100 * 7 + 50 * 11);
}

TEST(Quota, KeepsEverythingWhereNobodyCanLend) {
  QuotaUse const models[] = {
      {.quota_sequences = 50, .blocks_per_sequence = 11, .mean_batch = 50, .demand_sequences = 90}};

  auto const plan = plan_quota({.models = models});

  EXPECT_EQ(plan.quota_sequences[0], 50);
  EXPECT_EQ(plan.stop, QuotaStop::no_donor);
}

}  // namespace
}  // namespace windlass
