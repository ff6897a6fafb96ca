/// Mooncake (FAST'25): hit ratios over pool sizes (table 1's method), the order of its routers (figure 8) and what
/// early rejection saves (table 3); MemServe's routing and caching variants. Latencies are assumed, so only orders
/// count.
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>

#include "jobs/sim_files.hpp"
#include "src/policy/pipeline_prefill.hpp"
#include "src/sim/cache_cluster.hpp"
#include "src/sim/prefix_cache.hpp"
#include "tests/trace_data.hpp"

namespace windlass {
namespace {

std::int64_t hits(Workload const& workload, std::size_t capacity, EvictionRule rule) {
  PrefixCache cache(capacity, rule);
  std::int64_t count = 0;
  for (SimRequest const& request : workload) {
    count += std::int64_t(cache.match(request.block_hashes));
    cache.insert(request.block_hashes);
  }
  return count;
}

std::int64_t blocks_of(Workload const& workload) {
  std::int64_t count = 0;
  for (SimRequest const& request : workload) count += std::int64_t(request.block_hashes.size());
  return count;
}

/// The same by another way: buckets of blocks with equal first key, each a list from least to most recent.
class PlainCache {
 public:
  PlainCache(std::size_t capacity, EvictionRule rule) : capacity_(capacity), rule_(rule) {}

  bool has(std::uint64_t hash) const { return where_.contains(hash); }

  void use(std::uint64_t hash, std::int64_t position) {
    std::int64_t uses = 1;
    if (auto const found = where_.find(hash); found != where_.end()) {
      uses = found->second.uses + 1;
      position = found->second.position;
      remove(hash);
    } else if (where_.size() == capacity_) {
      remove(buckets_.begin()->second.front());
    }
    auto& bucket = buckets_[key(uses, position)];
    where_[hash] = {uses, position, bucket.insert(bucket.end(), hash)};
  }

 private:
  struct Place {
    std::int64_t uses, position;
    std::list<std::uint64_t>::iterator at;
  };
  std::int64_t key(std::int64_t uses, std::int64_t position) const {
    return rule_ == EvictionRule::least_recent ? 0 : rule_ == EvictionRule::least_frequent ? uses : -position;
  }
  void remove(std::uint64_t hash) {
    Place const place = where_.at(hash);
    auto const bucket = buckets_.find(key(place.uses, place.position));
    bucket->second.erase(place.at);
    if (bucket->second.empty()) buckets_.erase(bucket);
    where_.erase(hash);
  }

  std::size_t capacity_;
  EvictionRule rule_;
  std::map<std::uint64_t, Place> where_;
  std::map<std::int64_t, std::list<std::uint64_t>> buckets_;
};

std::int64_t plain_hits(Workload const& workload, std::size_t capacity, EvictionRule rule) {
  PlainCache cache(capacity, rule);
  std::int64_t count = 0;
  for (SimRequest const& request : workload) {
    bool prefix = true;
    for (std::uint64_t const hash : request.block_hashes) count += prefix = prefix && cache.has(hash);
    for (std::size_t i = 0; i < request.block_hashes.size(); ++i) cache.use(request.block_hashes[i], std::int64_t(i));
  }
  return count;
}

constexpr EvictionRule all_rules[] = {EvictionRule::least_recent, EvictionRule::least_frequent,
                                      EvictionRule::deepest_first};

Workload conversations(std::int64_t requests, double rate_per_s) {
  return make_conversations({.requests = requests,
                             .arrivals = {.rate_per_s = rate_per_s},
                             .documents = 200,
                             .zipf_exponent = 1,
                             .follow_up_share = 0.5,
                             .document_tokens = 5000,
                             .question_tokens = 1500,
                             .output_tokens = 182,
                             .seed = 1});
}

TEST(MooncakeTable1, HitsOfSyntheticConversationsEqualAPlainCount) {
  auto const workload = conversations(3'000, 4);

  for (std::size_t const capacity : {100'000u, 3'000u, 500u})
    for (EvictionRule const rule : all_rules)
      EXPECT_EQ(hits(workload, capacity, rule), plain_hits(workload, capacity, rule)) << capacity;
}

TEST(MooncakeTable1, HitsOfTheConversationTracesBeginningEqualAPlainCount) {
  auto const workload = read_mooncake_trace(WINDLASS_SOURCE_DIR "/inputs/traces/mooncake_conversation_400.jsonl");
  ASSERT_EQ(workload.size(), 400u);

  for (EvictionRule const rule : all_rules) {
    std::int64_t previous = blocks_of(workload);
    for (std::size_t const capacity : {1'000'000u, 3'000u, 1'000u, 300u, 30u}) {
      std::int64_t const counted = hits(workload, capacity, rule);
      EXPECT_EQ(counted, plain_hits(workload, capacity, rule)) << capacity;
      EXPECT_LE(counted, previous) << capacity;
      previous = counted;
    }
    EXPECT_GT(hits(workload, 1'000'000, rule), 0);
  }
}

TEST(MooncakeTable1, HitsOfTheConversationTraceEqualAPlainCount) {
  auto const trace = trace_file("mooncake_conversation.jsonl");
  if (!trace) GTEST_SKIP() << "needs WINDLASS_DATA with mooncake_conversation.jsonl";
  auto const workload = read_mooncake_trace(*trace);

  double const total = double(blocks_of(workload));
  EXPECT_NEAR(double(hits(workload, 1'000'000, EvictionRule::least_recent)) / total, 0.366, 0.0005);  // the ideal
  for (EvictionRule const rule : all_rules) {
    std::int64_t previous = hits(workload, 1'000'000, rule);
    for (std::size_t const capacity : {100'000u, 50'000u, 30'000u, 10'000u, 1'000u}) {
      std::int64_t const counted = hits(workload, capacity, rule);
      EXPECT_EQ(counted, plain_hits(workload, capacity, rule)) << capacity;
      EXPECT_LT(counted, previous) << capacity;
      previous = counted;
    }
  }
}

/// LLaMA2-70B on 8 x A800: a roofline guess.
CacheCluster eight_and_eight() {
  return {.prefill_instances = 8,
          .decode_instances = 8,
          .prefill = {.base_us = 10'000, .per_token_us = 112, .per_square_us = 1.05e-3},
          .step = {.base_us = 17'000, .per_sequence_us = 50, .per_context_us = 0.029},
          .kv_us_per_token = 327'680 / 50e3,
          .cache_blocks = 5'000};
}

struct RouterTtft {
  double mean_ms, p99_ms, attainment;
};

RouterTtft ttft(CacheCluster cluster, Workload const& workload, PrefillChoice choice, RouteRule rule) {
  cluster.choice = choice;
  cluster.route = rule;
  auto const outcomes = simulate(cluster, workload).outcomes;
  auto const times = ttfts_ms(outcomes);
  return {mean(times), percentile(times, 0.99), attainment(outcomes, {.ttft_ms = 2'000, .tpot_ms = 100})};
}

void expect_router_order(Workload const& workload) {
  auto const cluster = eight_and_eight();
  RouterTtft const routers[] = {
      ttft(cluster, workload, PrefillChoice::random, shortest_queue_rule()),
      ttft(cluster, workload, PrefillChoice::by_cost, shortest_queue_rule()),
      ttft(cluster, workload, PrefillChoice::by_cost, {.cache = CacheUse::local}),
      ttft(cluster, workload, PrefillChoice::by_cost, mooncake_rule(2)),
  };

  for (int better = 1; better < 4; ++better) {
    EXPECT_LT(routers[better].mean_ms, routers[better - 1].mean_ms) << better;
    EXPECT_GT(routers[better].attainment, routers[better - 1].attainment) << better;
  }
}

TEST(MooncakeFigure8, RandomLoadCacheAwareAndKvCentricRoutersImproveInThisOrder) {
  expect_router_order(conversations(6'000, 4));
}

TEST(MooncakeFigure8, TheOrderHoldsOnTheConversationTrace) {
  auto const trace = trace_file("mooncake_conversation.jsonl");
  if (!trace) GTEST_SKIP() << "needs WINDLASS_DATA with mooncake_conversation.jsonl";

  expect_router_order(read_mooncake_trace(*trace));
}

TEST(MooncakeSection51, AGroupOfNodesPrefillsALongPromptInChunksAndAShortOneAsBefore) {
  PrefillEstimate const prefill{.base_us = 10'000, .per_token_us = 112, .per_square_us = 1.05e-3};
  auto const plan = [&](std::int64_t prompt, std::int64_t cached, int stages) {
    return plan_pipeline_prefill({.prompt_tokens = prompt,
                                  .cached_tokens = cached,
                                  .stages = stages,
                                  .chunk_tokens = 2'048,
                                  .prefill = prefill,
                                  .hop_us = 500});
  };

  auto const short_prompt = plan(1'000, 0, 4), long_prompt = plan(65'536, 0, 4), cached = plan(65'536, 63'488, 4);

  EXPECT_EQ(short_prompt.stop, PipelinePrefillStop::one_chunk);
  EXPECT_NEAR(short_prompt.first_token_us, prefill.at(1'000, 0) + 3 * 500, 1e-6);
  EXPECT_EQ(long_prompt.chunks, 32);
  EXPECT_LT(long_prompt.first_token_us, 0.35 * prefill.at(65'536, 0));  // four nodes: a quarter, and the way through
  EXPECT_GT(long_prompt.first_token_us, 0.25 * prefill.at(65'536, 0));
  EXPECT_EQ(cached.chunks, 1);
  EXPECT_NEAR(cached.stage_us, prefill.at(65'536, 63'488) / 4, 1e-6);
}

TEST(MooncakeSection51, EqualChunksTakeTheClosedFormOfAPipeline) {
  PrefillEstimate const linear{.base_us = 0, .per_token_us = 100, .per_square_us = 0};

  auto const plan = plan_pipeline_prefill({.prompt_tokens = 8'000,
                                           .cached_tokens = 0,
                                           .stages = 4,
                                           .chunk_tokens = 1'000,
                                           .prefill = linear,
                                           .hop_us = 70});

  double const part_us = 1'000 * 100.0 / 4;
  EXPECT_NEAR(plan.first_token_us, 8 * part_us + 3 * (part_us + 70), 1e-6);
  EXPECT_NEAR(plan.stage_us, 8 * part_us, 1e-6);
}

TEST(MooncakeSection51, GroupsAnswerLongPromptsEarlierThanAsManySingleNodes) {
  auto const lengths = [](RandomStream& random) {
    return TokenLengths{std::int32_t(16'000 + random.below(48'000)), 50};
  };
  auto const workload =
      make_workload({.requests = 400, .arrivals = {.rate_per_s = 0.4}, .lengths = lengths, .seed = 1});
  auto single = eight_and_eight();
  auto groups = single;
  groups.prefill_instances = 2;
  groups.stages = 4;

  auto const apart = ttfts_ms(simulate(single, workload).outcomes),
             together = ttfts_ms(simulate(groups, workload).outcomes);

  EXPECT_LT(mean(together), 0.6 * mean(apart));
}

/// More requests than 8 + 8 instances can take.
struct Pressure {
  double rate_per_s;
  double per_sequence_us;  ///< of a decode step
  ServiceLevel level;
  double (*answer_tokens)(RandomStream& random);
};

/// Prefill and decode both near saturation; answers of similar lengths, as one t_d for all assumes.
constexpr Pressure saturated{.rate_per_s = 10,
                             .per_sequence_us = 50,
                             .level = {.ttft_ms = 5'000, .tpot_ms = 20.5},
                             .answer_tokens = [](RandomStream& random) { return random.log_normal(1'000, 300); }};

/// Prompts wait up to half a minute, so that the decode load follows decisions late.
constexpr Pressure long_queue{.rate_per_s = 13,
                              .per_sequence_us = 1'500,
                              .level = {.ttft_ms = 30'000, .tpot_ms = 50},
                              .answer_tokens = [](RandomStream& random) { return random.exponential(300); }};

struct Overload {
  CacheReport report;
  double decode_s = 0;  ///< mean time from first to last token
};

struct Rejecting {
  RejectionRule rule;
  double decode_duration_s = 0;
};

Overload overload(Pressure const& pressure, Rejecting const& rejecting, std::uint64_t seed) {
  auto cluster = eight_and_eight();
  cluster.step.per_sequence_us = pressure.per_sequence_us;
  cluster.level = pressure.level;
  cluster.route = shortest_queue_rule();
  cluster.rejection = rejecting.rule;
  cluster.decode_duration_us = Microseconds(rejecting.decode_duration_s * 1e6);
  auto const lengths = [&pressure](RandomStream& random) {
    auto const prompt = std::int32_t(std::min(60'000.0, random.log_normal(7'590, 9'000))) + 1;
    return TokenLengths{prompt, std::int32_t(pressure.answer_tokens(random)) + 1};
  };
  auto const workload = make_workload(
      {.requests = 6'000, .arrivals = {.rate_per_s = pressure.rate_per_s}, .lengths = lengths, .seed = seed});
  Overload result{.report = simulate(cluster, workload)};
  std::vector<double> decode_s;
  for (RequestOutcome const& outcome : result.report.outcomes)
    if (outcome.end == RequestEnd::completed)
      decode_s.push_back(double(outcome.finish_us - outcome.first_token_us) / 1e6);
  result.decode_s = mean(decode_s);
  return result;
}

double variance_of(std::vector<double> loads) {
  loads.erase(loads.begin(), loads.begin() + std::ptrdiff_t(loads.size() / 10));  // the start
  double const middle = mean(loads);
  for (double& load : loads) load = (load - middle) * (load - middle);
  return mean(loads);
}

std::int64_t rejected(Overload const& run) {
  return std::int64_t(run.report.outcomes.size()) - count_of(run.report.outcomes, RequestEnd::completed);
}

TEST(MooncakeTable3, EarlyAndPredictiveRejectionRejectFewerAndWasteLessPrefill) {
  using enum RejectionRule;
  auto const refused_late = [](Overload const& run) {
    return count_of(run.report.outcomes, RequestEnd::rejected_after_prefill);
  };
  for (std::uint64_t seed = 3; seed < 7; ++seed) {
    auto const at_decode = overload(saturated, {late}, seed), at_once = overload(saturated, {early}, seed);
    auto const foreseen = overload(saturated, {predictive, 1.2 * at_decode.decode_s}, seed);

    EXPECT_LT(rejected(at_once), rejected(at_decode)) << seed;  // published: 4183, 3771, 3589
    EXPECT_LT(rejected(foreseen), rejected(at_once)) << seed;
    EXPECT_LT(at_once.report.wasted_prefill_us, at_decode.report.wasted_prefill_us) << seed;
    EXPECT_LT(foreseen.report.wasted_prefill_us, at_once.report.wasted_prefill_us) << seed;
    EXPECT_LT(refused_late(at_once), refused_late(at_decode)) << seed;
    EXPECT_LT(refused_late(foreseen), refused_late(at_once)) << seed;
  }
}

TEST(MooncakeTable3, EarlyRejectionMakesTheDecodeLoadSwing) {
  using enum RejectionRule;
  double early_variance = 0, predictive_variance = 0;
  for (std::uint64_t seed = 3; seed < 7; ++seed) {
    double const decode_s = overload(long_queue, {late}, seed).decode_s;

    early_variance += variance_of(overload(long_queue, {early}, seed).report.decode_loads);
    predictive_variance += variance_of(overload(long_queue, {predictive, decode_s}, seed).report.decode_loads);
  }
  EXPECT_GT(early_variance, predictive_variance);
}

TEST(MooncakeTable3, EveryRequestEndsOnce) {
  auto const outcomes = overload(saturated, {RejectionRule::predictive, 24.5}, 3).report.outcomes;

  EXPECT_EQ(count_of(outcomes, RequestEnd::unfinished), 0);
  EXPECT_EQ(count_of(outcomes, RequestEnd::completed) + count_of(outcomes, RequestEnd::rejected_at_arrival) +
                count_of(outcomes, RequestEnd::rejected_after_prefill),
            6'000);
}

TEST(MemServeRouting, PromptTreesBeatSessionsAndSessionsBeatChance) {
  auto const workload = conversations(6'000, 4);  // one document is the subject of several sessions
  auto const cluster = eight_and_eight();

  auto const tree = ttft(cluster, workload, PrefillChoice::by_cost, prompt_tree_rule());
  auto const session = ttft(cluster, workload, PrefillChoice::session, {.cache = CacheUse::local});
  auto const chance = ttft(cluster, workload, PrefillChoice::random, {.cache = CacheUse::local});

  EXPECT_LT(tree.p99_ms, 0.7 * session.p99_ms);  // published: -59 %
  EXPECT_LT(session.p99_ms, chance.p99_ms);
}

TEST(MemServeCaching, EachVariantReusesMoreAndDecodeMadeKvHelpsConversationsOnly) {
  auto const run = [](Workload const& workload, KeptKv kept) {
    auto cluster = eight_and_eight();
    cluster.kept = kept;
    cluster.block_tokens = 64;
    cluster.cache_blocks = 40'000;
    cluster.route = prompt_tree_rule();
    return mean(ttfts_ms(simulate(cluster, workload).outcomes));
  };
  ConversationRecipe recipe{.requests = 2'000,
                            .arrivals = {.rate_per_s = 4},
                            .documents = 50,
                            .zipf_exponent = 1,
                            .follow_up_share = 0.7,
                            .document_tokens = 2000,
                            .question_tokens = 300,
                            .output_tokens = 600,
                            .block_tokens = 64,
                            .seed = 4};
  auto const turns = make_conversations(recipe);
  recipe.follow_up_share = 0;
  auto const single = make_conversations(recipe);

  EXPECT_LT(run(turns, KeptKv::prompt), 0.8 * run(turns, KeptKv::nothing));
  EXPECT_LT(run(turns, KeptKv::prompt_and_output), 0.9 * run(turns, KeptKv::prompt));
  EXPECT_NEAR(run(single, KeptKv::prompt_and_output) / run(single, KeptKv::prompt), 1, 0.02);
}

}  // namespace
}  // namespace windlass
