/// LoongServe (SOSP'24): batches and degrees by dynamic programming, retention of tokens, the memory test.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "src/policy/elastic_allocation.hpp"
#include "src/policy/elastic_batching.hpp"
#include "src/policy/elastic_dispatch.hpp"
#include "src/policy/elastic_scaling.hpp"
#include "src/policy/memory_peak.hpp"
#include "src/policy/token_retention.hpp"
#include "src/sim/random.hpp"

namespace windlass {
namespace {

/// LWM-7B on A800, two GPUs an instance: a roofline guess.
std::vector<ElasticDegreeTime> degree_times(std::size_t instances) {
  std::vector<ElasticDegreeTime> times;
  for (std::size_t degree = 1; degree <= instances; ++degree) {
    double const share = 4.0 / double(degree);  // of 8 GPUs
    times.push_back({.base_us = 17'000 + 1'000.0 * double(degree - 1),
                     .per_token_us = 9.8 * share,
                     .per_square_us = 1.9e-4 * share});
  }
  return times;
}

struct Case {
  std::vector<std::int64_t> prompts, free;
  std::vector<ElasticDegreeTime> times;
};

Case random_case(std::uint64_t number) {
  RandomStream random(17, number);
  std::size_t const prompts = 1 + random.below(7), instances = 1 + random.below(5);
  Case made{.prompts = {}, .free = {}, .times = degree_times(instances)};
  for (std::size_t i = 0; i < prompts; ++i)
    made.prompts.push_back(std::int64_t(10 * std::pow(20'000, random.uniform())));
  for (std::size_t i = 0; i < instances; ++i) made.free.push_back(50'000 + std::int64_t(random.below(200'000)));
  return made;
}

/// Every way to cut prompts[i..] and instances[k..] into matching spans.
double least_cost(Case const& cut, std::size_t i, std::size_t k) {
  if (i == cut.prompts.size()) return 0;
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t end = i + 1; end <= cut.prompts.size(); ++end) {
    double tokens = 0, squares = 0, inverses = 0, free = 0;
    for (std::size_t j = i; j < end; ++j) {
      double const length = double(cut.prompts[j]);
      tokens += length, squares += length * length, inverses += 1 / length;
    }
    for (std::size_t last = k + 1; last <= cut.free.size(); ++last) {
      free += double(cut.free[last - 1]);
      if (tokens > free) continue;
      ElasticDegreeTime const& time = cut.times[last - k - 1];
      double const step_us = time.base_us + time.per_token_us * tokens + time.per_square_us * squares;
      best = std::min(best, step_us * inverses + least_cost(cut, end, last));
    }
  }
  return best;
}

double brute_force(Case cut) {
  std::sort(cut.prompts.begin(), cut.prompts.end(), std::greater<>());
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t skipped = 0; skipped < cut.free.size(); ++skipped)
    best = std::min(best, least_cost(cut, 0, skipped));
  return best;
}

TEST(LoongServeDynamicProgramme, EqualsBruteForceInTenThousandRandomCases) {
  int several_batches = 0, infeasible = 0;
  for (std::uint64_t number = 0; number < 10'000; ++number) {
    Case const made = random_case(number);
    double const expected = brute_force(made);

    auto const plan =
        plan_elastic_batches({.prompt_tokens = made.prompts, .free_tokens = made.free, .degree_times = made.times});

    if (std::isinf(expected)) {
      ++infeasible;
      ASSERT_EQ(plan.stop, ElasticBatchingStop::too_few_tokens_free) << number;
      continue;
    }
    ASSERT_NEAR(plan.cost, expected, 1e-9 * expected) << number;
    if (plan.batches.size() > 1) ++several_batches;
  }
  EXPECT_GT(several_batches, 3'000);
  EXPECT_GT(infeasible, 100);
}

TEST(LoongServeDynamicProgramme, PlansCoverEveryPromptOnceOnDisjointInstances) {
  for (std::uint64_t number = 0; number < 500; ++number) {
    Case const made = random_case(number);
    auto const plan =
        plan_elastic_batches({.prompt_tokens = made.prompts, .free_tokens = made.free, .degree_times = made.times});
    if (plan.stop != ElasticBatchingStop::planned) continue;

    std::multiset<std::size_t> prompts;
    std::size_t next_instance = 0;
    for (ElasticBatch const& batch : plan.batches) {
      prompts.insert(batch.prompts.begin(), batch.prompts.end());
      ASSERT_GE(batch.first_instance, next_instance);
      next_instance = batch.first_instance + batch.instances;
    }
    ASSERT_LE(next_instance, made.free.size());
    ASSERT_EQ(prompts.size(), made.prompts.size());
    for (std::size_t i = 0; i < made.prompts.size(); ++i) ASSERT_EQ(prompts.count(i), 1u);
  }
}

TEST(LoongServeDynamicProgramme, TheBatchBoundCostsLittle) {
  for (std::uint64_t number = 0; number < 1'000; ++number) {
    Case const made = random_case(number);
    ElasticBatchingInput in{.prompt_tokens = made.prompts, .free_tokens = made.free, .degree_times = made.times};
    auto const exact = plan_elastic_batches(in);
    in.exact_prompts = 0;
    auto const bounded = plan_elastic_batches(in);
    if (bounded.stop == ElasticBatchingStop::planned) {
      ASSERT_GE(bounded.cost, exact.cost * (1 - 1e-9));
      ASSERT_LE(bounded.cost, exact.cost * 1.6) << number;
    }
  }
}

TEST(LoongServeDynamicProgramme, KeepsAShortPromptOffTheLongOnesBatch) {
  std::int64_t const prompts[] = {100, 150'000};
  std::int64_t const free[] = {210'000, 210'000, 210'000, 210'000};
  auto const times = degree_times(4);

  auto const plan = plan_elastic_batches({.prompt_tokens = prompts, .free_tokens = free, .degree_times = times});

  ASSERT_EQ(plan.batches.size(), 2u);
  EXPECT_EQ(plan.batches[0].prompts, std::vector<std::size_t>{1});
  EXPECT_EQ(plan.batches[0].instances, 3u);
}

TEST(TokenRetention, PacksIntoTheFullestInstancesAndReleasesTheRest) {
  std::int64_t const prompts[] = {120, 60};
  std::int64_t const used[] = {0, 70, 20};

  auto const plan = plan_token_retention({.prompt_tokens = prompts, .used_tokens = used, .capacity_tokens = 200});

  ASSERT_EQ(plan.ranges.size(), 3u);
  EXPECT_EQ(plan.ranges[0].instance, 1u);  // 130 free: all 120 of the first prompt
  EXPECT_EQ(plan.ranges[1].end, 10);       // and 10 of the second
  EXPECT_EQ(plan.ranges[2].instance, 2u);
  EXPECT_EQ(plan.released, std::vector<std::size_t>{0});
}

TEST(TokenRetention, RangesAreDisjointAndCoverEveryPrompt) {
  for (std::uint64_t number = 0; number < 200; ++number) {
    RandomStream random(3, number);
    std::vector<std::int64_t> prompts, used, kept(4);
    for (int i = 0; i < 5; ++i) prompts.push_back(1 + std::int64_t(random.below(100)));
    for (int i = 0; i < 4; ++i) used.push_back(std::int64_t(random.below(60)));
    auto const plan = plan_token_retention({.prompt_tokens = prompts, .used_tokens = used, .capacity_tokens = 200});
    ASSERT_EQ(plan.stop, TokenRetentionStop::packed);

    std::vector<std::int64_t> covered(5);
    for (RetainedRange const& range : plan.ranges) {
      ASSERT_EQ(range.begin, covered[range.prompt]);  // consecutive
      covered[range.prompt] = range.end;
      kept[range.instance] += range.end - range.begin;
    }
    ASSERT_EQ(covered, prompts);
    for (std::size_t i = 0; i < 4; ++i) ASSERT_LE(used[i] + kept[i], 200);
  }
}

TEST(TokenRetention, SaysWhenTheGroupIsTooSmall) {
  std::int64_t const prompts[] = {120};
  std::int64_t const used[] = {100, 100};

  EXPECT_EQ(plan_token_retention({.prompt_tokens = prompts, .used_tokens = used, .capacity_tokens = 150}).stop,
            TokenRetentionStop::too_few_tokens_free);
}

TEST(MemoryPeak, CountsWhoStillRunsWhenEachOneEnds) {
  GrowingSequence const sequences[] = {{100, 10}, {100, 50}};

  auto const plan = plan_memory_peak({.sequences = sequences, .capacity_tokens = 220});

  EXPECT_EQ(plan.peak_tokens, 220);  // both have grown by 10 when the first ends; alone the other holds 150
  EXPECT_EQ(plan.stop, MemoryPeakStop::fits);
  EXPECT_EQ(plan_memory_peak({.sequences = sequences, .capacity_tokens = 219}).stop, MemoryPeakStop::would_exceed);
}

ElasticDispatchInput two_prompts(std::span<GrowingSequence const> waiting) {
  return {.waiting = waiting,
          .running = {},
          .capacity_tokens = 10'000,
          .free_tokens = 10'000,
          .time = {.base_us = 0, .per_token_us = 1, .per_square_us = 0},
          .max_prefill_us = 5'000,
          .overtaken = 0,
          .max_overtaking = 2};
}

TEST(ElasticDispatch, PassesAPromptThatDoesNotFitForABoundedNumberOfRounds) {
  GrowingSequence const waiting[] = {{.used_tokens = 12'000, .remaining_tokens = 10},
                                     {.used_tokens = 1'000, .remaining_tokens = 10}};
  auto in = two_prompts(waiting);

  for (std::int32_t round = 1; round <= 2; ++round) {
    auto const plan = plan_elastic_dispatch(in);
    EXPECT_EQ(plan.chosen, std::vector<std::size_t>{1});
    EXPECT_EQ(plan.overtaken, round);
    EXPECT_EQ(plan.stop, ElasticDispatchStop::some_passed);
    in.overtaken = plan.overtaken;
  }
  auto const plan = plan_elastic_dispatch(in);
  EXPECT_TRUE(plan.chosen.empty());
  EXPECT_EQ(plan.stop, ElasticDispatchStop::must_not_overtake);
}

TEST(ElasticDispatch, StartsNoMoreTogetherThanTheirPrefillMayLast) {
  GrowingSequence const waiting[] = {{.used_tokens = 6'000, .remaining_tokens = 10},
                                     {.used_tokens = 100, .remaining_tokens = 10}};

  auto const plan = plan_elastic_dispatch(two_prompts(waiting));

  EXPECT_EQ(plan.chosen, std::vector<std::size_t>{0});  // longer than allowed, so alone
}

TEST(ElasticDispatch, CountsWhatRunningSequencesWillStillHold) {
  GrowingSequence const waiting[] = {{.used_tokens = 4'000, .remaining_tokens = 10}},
                        running[] = {{.used_tokens = 4'000, .remaining_tokens = 3'000}};
  auto in = two_prompts(waiting);
  in.running = running;
  in.capacity_tokens = 8'000;
  in.free_tokens = 4'000;  // the prompt fits; what both will generate does not

  EXPECT_EQ(plan_elastic_dispatch(in).stop, ElasticDispatchStop::nothing_fits);
}

TEST(ElasticDispatch, PausesDecodesOnlyWhereThatCostsLessThanWaiting) {
  GrowingSequence const waiting[] = {{.used_tokens = 1'000, .remaining_tokens = 10}},
                        running[] = {{.used_tokens = 10, .remaining_tokens = 10}};
  auto in = two_prompts(waiting);
  in.running = running;
  in.decodes = {.step_us = 20, .mean_output_tokens = 200, .least_generated = 100, .most_generated = 100};

  in.decodes.pausing_inverse_generated = 0.001;  // 1,000 us of prefill; waiting: 2,000 us for 1,000 tokens
  EXPECT_EQ(plan_elastic_dispatch(in).stop, ElasticDispatchStop::all_chosen);
  in.decodes.pausing_inverse_generated = 0.003;
  EXPECT_EQ(plan_elastic_dispatch(in).stop, ElasticDispatchStop::nothing_fits);
}

/// One prompt of 1,000 tokens: 1,000 us on one instance, 500 on two; the group is one instance.
ElasticAllocationInput one_prompt_beside_a_group() {
  static constexpr std::int64_t prompt[] = {1'000};
  static constexpr ElasticDegreeTime times[] = {{0, 1, 0}, {0, 0.5, 0}};
  return {.prompt_tokens = prompt,
          .idle_instances = 1,
          .idle_free_tokens = 5'000,
          .group = {.instances = 1,
                    .inverse_generated = 0.01,
                    .kv_tokens = 100,
                    .growth_tokens = 50,
                    .free_tokens = 4'900,
                    .steps = 10},
          .room_tokens = {},
          .degree_times = times,
          .migration_us_per_token = 4,
          .steps_between_pauses = 10};
}

TEST(ElasticAllocation, AGroupMovesWhereThePrefillGainsMoreThanItsKvIsOnItsWay) {
  std::int64_t const room[] = {149, 1'000, 150};
  auto in = one_prompt_beside_a_group();
  in.room_tokens = room;

  auto const plan = plan_elastic_allocation(in);  // 500 us are gained, 100 tokens take 400

  EXPECT_EQ(plan.stop, ElasticAllocationStop::group_moves);
  EXPECT_EQ(plan.target, std::optional<std::size_t>{2});  // the fullest with room for what will come, too
  in.migration_us_per_token = 6;
  EXPECT_EQ(plan_elastic_allocation(in).stop, ElasticAllocationStop::idle_instances);
}

TEST(ElasticAllocation, AGroupPausesWhereThePromptGainsMoreForEachTokenThanItLoses) {
  auto in = one_prompt_beside_a_group();  // 500 us over 1,000 tokens are gained

  EXPECT_EQ(plan_elastic_allocation(in).stop, ElasticAllocationStop::idle_instances);  // 500 us over 100 lost
  in.group.inverse_generated = 0.0009;
  EXPECT_EQ(plan_elastic_allocation(in).stop, ElasticAllocationStop::group_pauses);
  in.group.steps = 9;
  EXPECT_EQ(plan_elastic_allocation(in).stop, ElasticAllocationStop::idle_instances);
}

TEST(ElasticAllocation, AGroupPausesWhereIdleInstancesCannotHoldThePrompts) {
  auto in = one_prompt_beside_a_group();
  in.idle_free_tokens = 999;

  EXPECT_EQ(plan_elastic_allocation(in).stop, ElasticAllocationStop::group_pauses);
  in.idle_instances = 0;
  in.idle_free_tokens = 0;
  EXPECT_EQ(plan_elastic_allocation(in).stop, ElasticAllocationStop::group_pauses);
  in.group.steps = 0;
  EXPECT_EQ(plan_elastic_allocation(in).stop, ElasticAllocationStop::too_few_idle);
  in.prompt_tokens = {};
  EXPECT_EQ(plan_elastic_allocation(in).stop, ElasticAllocationStop::nothing_waits);
}

TEST(ElasticScaling, AddsForComputeAndForMemoryWhatIsIdle) {
  ElasticScalingInput in{
      .sequences = 100, .instances = 1, .free_tokens = 100, .idle_instances = 3, .instance_tokens = 40};
  EXPECT_EQ(plan_elastic_scaling(in).stop, ElasticScalingStop::enough);
  EXPECT_EQ(plan_elastic_scaling(in).master_sequences, 100);

  in.sequences = 101;
  EXPECT_EQ(plan_elastic_scaling(in).added, 1);
  EXPECT_EQ(plan_elastic_scaling(in).master_sequences, 100);  // the other is master of one
  in.free_tokens = 11;                                        // 90 tokens lack: three pools
  EXPECT_EQ(plan_elastic_scaling(in).added, 3);
  EXPECT_EQ(plan_elastic_scaling(in).stop, ElasticScalingStop::for_memory);
  in.idle_instances = 0;
  EXPECT_EQ(plan_elastic_scaling(in).stop, ElasticScalingStop::nothing_idle);
}

}  // namespace
}  // namespace windlass
