// Each system as a setting of one routing cost: in random states the preset chooses what the system's own rule would.
#include "src/policy/presets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "src/policy/decode_choice.hpp"
#include "src/policy/dispatch.hpp"
#include "src/policy/on_demand_forwarding.hpp"
#include "src/policy/pool_assignment.hpp"

namespace windlass {
namespace {

constexpr PrefillEstimate prefill{.base_us = 2'000, .per_token_us = 100, .per_square_us = 0.001};
constexpr double fetch_us_per_token = 7;
constexpr int cases = 2'000;

struct State {
  std::vector<RouteCandidate> candidates;
  std::int64_t prompt_tokens;
};

/// Every fourth instance holds nothing of the prompt.
State random_state(std::mt19937_64& random) {
  auto const below = [&](std::int64_t limit) { return std::int64_t(random() % std::uint64_t(limit)); };
  State state{.candidates = {}, .prompt_tokens = 512 + below(8'000)};
  for (std::int64_t i = 1 + below(8); i > 0; --i)
    state.candidates.push_back({.queue_us = double(below(900'000)),
                                .queue_tokens = below(20'000),
                                .requests = below(5),
                                .cached_tokens = below(4) == 0 ? 0 : below(state.prompt_tokens / 64) * 64,
                                .sender_backlog_us = double(below(3) * 40'000),
                                .handoff_us = 0});
  return state;
}

RouteInput input(State const& state, ServingSystem system) {
  return {.candidates = state.candidates,
          .prompt_tokens = state.prompt_tokens,
          .prefill = prefill,
          .fetch_us_per_token = fetch_us_per_token,
          .rule = preset_of(system).route};
}

template <class Check>
void in_random_states(Check const& check) {
  std::mt19937_64 random(7);
  for (int i = 0; i < cases; ++i) check(random_state(random));
}

TEST(RoutingPresets, DistServeIsItsShortestQueue) {
  in_random_states([](State const& state) {
    std::vector<std::int64_t> queues;
    for (RouteCandidate const& each : state.candidates) queues.push_back(each.requests);
    for (auto const system : {ServingSystem::distserve_high, ServingSystem::distserve_low})
      EXPECT_EQ(plan_route(input(state, system)).instance, plan_dispatch({.load = queues}).instance);
  });
}

TEST(RoutingPresets, SplitwiseIsItsShortestQueueOfTokens) {
  in_random_states([](State const& state) {
    std::vector<MachineLoad> machines;
    for (RouteCandidate const& each : state.candidates)
      machines.push_back({.pool = MachinePool::prompt,
                          .pending_tokens = each.queue_tokens,
                          .queued_tasks = 0,
                          .reserved_tokens = 0,
                          .kv_tokens = 1'000'000});
    machines.push_back({.pool = MachinePool::token,
                        .pending_tokens = 0,
                        .queued_tasks = 0,
                        .reserved_tokens = 0,
                        .kv_tokens = 1'000'000});
    auto const own = plan_pool_assignment(
        {.machines = machines, .prompt_tokens = state.prompt_tokens, .predicted_output_tokens = 100});
    EXPECT_EQ(plan_route(input(state, ServingSystem::splitwise)).instance, own.prompt_machine);
  });
}

/// FAST'25's text of algorithm 1: per instance the cheaper of computing and of fetching the longest prefix.
std::size_t algorithm_1(State const& state) {
  auto const& all = state.candidates;
  std::size_t holder = 0, chosen = 0;
  for (std::size_t i = 1; i < all.size(); ++i)
    if (all[i].cached_tokens > all[holder].cached_tokens) holder = i;
  double least = 1e300;
  for (std::size_t i = 0; i < all.size(); ++i) {
    double const length = double(state.prompt_tokens), own = double(all[i].cached_tokens),
                 best = double(all[holder].cached_tokens);
    double ttft = all[i].queue_us + prefill.at(length, own);
    if (best > own) {
      double const arrives = all[holder].sender_backlog_us + fetch_us_per_token * (best - own);
      ttft = std::min(ttft, std::max(all[i].queue_us, arrives) + prefill.at(length, best));
    }
    if (ttft < least) least = ttft, chosen = i;
  }
  return chosen;
}

TEST(RoutingPresets, MooncakeIsAlgorithm1WithBothAlternatives) {
  in_random_states([](State const& state) {
    auto const plan = plan_route(input(state, ServingSystem::mooncake));
    EXPECT_EQ(plan.instance, algorithm_1(state));

    std::int64_t best = 0;
    for (RouteCandidate const& each : state.candidates) best = std::max(best, each.cached_tokens);
    double const own = double(state.candidates[plan.instance].cached_tokens);
    EXPECT_EQ(plan.replicate_from.has_value(), double(best) > 2 * own && double(best) > own);
  });
}

TEST(RoutingPresets, MemServeFetchesWhereThatIsCheaperThanComputingAndReplicatesNothing) {
  in_random_states([](State const& state) {
    auto const plan = plan_route(input(state, ServingSystem::memserve));
    EXPECT_EQ(plan.instance, algorithm_1(state));
    EXPECT_FALSE(plan.replicate_from);
    if (!plan.source) return;
    auto const& own = state.candidates[plan.instance];
    double const length = double(state.prompt_tokens), fetched = double(plan.cached_tokens - own.cached_tokens);
    double const saved = prefill.at(length, double(own.cached_tokens)) - prefill.at(length, double(plan.cached_tokens));
    EXPECT_LE(fetch_us_per_token * fetched, saved + own.queue_us);
  });
}

TEST(RoutingPresets, PdServeAsksInTheOrderOfOpenConnections) {
  in_random_states([](State const& state) {
    std::vector<ForwardingTarget> targets;
    for (RouteCandidate const& each : state.candidates)
      targets.push_back({.open_connections = each.requests, .cached_tokens = 0});
    auto const own =
        plan_forwarding({.targets = targets, .now_us = 0, .deadline_us = 100, .prefill_us = 1, .backoff_us = 1});
    EXPECT_EQ(route_order(input(state, ServingSystem::pdserve)), own.order);
  });
}

TEST(RoutingPresets, ChunkAttentionPrefersTheInstanceThatHasThePrefix) {
  RouteCandidate const candidates[] = {
      {.queue_us = 0, .queue_tokens = 0, .cached_tokens = 0, .sender_backlog_us = 0, .handoff_us = 0},
      {.queue_us = 10'000, .queue_tokens = 90, .cached_tokens = 960, .sender_backlog_us = 0, .handoff_us = 0}};
  State const state{.candidates = {candidates[0], candidates[1]}, .prompt_tokens = 1'000};

  auto const plan = plan_route(input(state, ServingSystem::chunk_attention));

  EXPECT_EQ(plan.instance, 1u);
  EXPECT_FALSE(plan.source);  // caches are local
}

TEST(Presets, EverySystemHasOneThatItsNameFinds) {
  std::set<std::string_view> names;
  for (SystemPreset const& preset : system_presets()) {
    names.insert(preset.name);
    EXPECT_EQ(system_named(preset.name), preset.system);
    EXPECT_EQ(preset_of(preset.system).name, preset.name);
    EXPECT_EQ(preset.block_tokens > 0, preset.index != IndexKind::none);
  }
  EXPECT_EQ(names.size(), 9u);
  EXPECT_FALSE(system_named("vllm"));
}

TEST(Presets, KvMovesOnlyWherePhasesLiveApart) {
  for (SystemPreset const& preset : system_presets())
    EXPECT_EQ(preset.kv_move.has_value(), (preset.roles & decode_role) != 0) << preset.name;
  auto const splitwise = *preset_of(ServingSystem::splitwise).kv_move;
  EXPECT_EQ(splitwise.timing_of(511), TransferTiming::after_prefill);
  EXPECT_EQ(splitwise.timing_of(512), TransferTiming::layer_wise);
  EXPECT_EQ(preset_of(ServingSystem::distserve_low).kv_move->direction, KvMove::Direction::pull);
}

TEST(DecodeChoice, TakesTheShortestStepAmongThoseWithRoom) {
  DecodeCandidate const candidates[] = {{.step_us = 10, .free_tokens = 99, .handoff_us = 0},
                                        {.step_us = 30, .free_tokens = 100, .handoff_us = 0},
                                        {.step_us = 20, .free_tokens = 100, .handoff_us = 9}};

  auto const plan = plan_decode_choice({.candidates = candidates, .reserved_tokens = 100});

  EXPECT_EQ(plan.instance, 2u);
  EXPECT_EQ(plan.stop, DecodeChoiceStop::chosen);
}

TEST(DecodeChoice, GivesTiesToTheNearest) {
  DecodeCandidate const candidates[] = {{.step_us = 20, .free_tokens = 100, .handoff_us = 50},
                                        {.step_us = 21, .free_tokens = 100, .handoff_us = 5},
                                        {.step_us = 30, .free_tokens = 100, .handoff_us = 0}};

  auto const choose = [&](double equal_within) {
    return plan_decode_choice({.candidates = candidates, .reserved_tokens = 100, .equal_within = equal_within});
  };

  EXPECT_EQ(choose(0).instance, 0u);
  EXPECT_EQ(choose(0.1).instance, 1u);
}

TEST(DecodeChoice, SaysWhenNobodyHasRoomAndNamesTheRoomiest) {
  DecodeCandidate const candidates[] = {{.step_us = 20, .free_tokens = 50, .handoff_us = 0},
                                        {.step_us = 21, .free_tokens = 80, .handoff_us = 0}};

  auto const plan = plan_decode_choice({.candidates = candidates, .reserved_tokens = 100});

  EXPECT_EQ(plan.instance, 1u);
  EXPECT_EQ(plan.stop, DecodeChoiceStop::no_room);
  EXPECT_EQ(plan_decode_choice({.candidates = {}, .reserved_tokens = 1}).stop, DecodeChoiceStop::no_candidate);
}

}  // namespace
}  // namespace windlass
