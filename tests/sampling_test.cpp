#include "src/engine/sampling.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "src/core/error.hpp"
#include "src/engine/exponential.hpp"
#include "src/engine/philox.hpp"

namespace windlass {
namespace {

constexpr float impossible = -std::numeric_limits<float>::infinity();

std::vector<TokenId> ids(std::initializer_list<int> numbers) {
  std::vector<TokenId> tokens;
  for (int id : numbers) tokens.push_back(TokenId(id));
  return tokens;
}

TokenId sample_after(SamplingParameters const& parameters, std::vector<float> const& logits,
                     SequenceTokens const& tokens = {}) {
  SamplingState const state(parameters, 0, tokens);
  SamplingScratch scratch;
  return *sample({.logits = logits, .parameters = &parameters, .state = &state}, scratch);
}

TEST(Philox, MatchesThePublishedVectors) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, DrawsDifferWithSeedChoiceAndPositionAndStayBelowOne) {
  std::vector<double> draws;
  for (std::uint64_t seed : {0ull, 1ull, 1ull << 40})
    for (std::uint32_t choice : {0u, 1u})
      for (std::uint64_t position : {0ull, 1ull}) draws.push_back(uniform({seed, choice, position}));

  std::ranges::sort(draws);
  EXPECT_EQ(std::ranges::adjacent_find(draws), draws.end());
  EXPECT_GE(draws.front(), 0);
  EXPECT_LT(draws.back(), 1);
}

TEST(DecayingExp, IsCloseToExpAndZeroFarBelow) {
  for (double z = 0; z > -79.9; z -= 0.00137)
    ASSERT_NEAR(double(decaying_exp(float(z))) / std::exp(double(float(z))), 1, 3e-7) << z;
  EXPECT_EQ(decaying_exp(0), 1);
  EXPECT_EQ(decaying_exp(-80.1f), 0);
  EXPECT_EQ(decaying_exp(impossible), 0);
}

TEST(Greedy, TakesTheLargestAndTheLowerIdOfEquals) {
  std::vector<float> logits(5000, -3);
  logits[4321] = logits[4322] = logits[70] = 2;

  EXPECT_EQ(sample_after({.temperature = 0}, logits), TokenId{70});
  logits[4999] = 3;
  EXPECT_EQ(sample_after({.temperature = 0}, logits), TokenId{4999});
}

TEST(Greedy, BiasAndAllowedTokensDecide) {
  std::vector<float> const logits{1, 2, 3, 4};

  EXPECT_EQ(sample_after({.temperature = 0, .logit_bias = {{TokenId{0}, 3.5}, {TokenId{900}, 99}}}, logits),
            TokenId{0});
  EXPECT_EQ(sample_after({.temperature = 0, .allowed_token_ids = ids({0, 2, 77})}, logits), TokenId{2});
}

TEST(Greedy, MinTokensForbidsEndAndStopTokensUntilEnoughAreThere) {
  std::vector<float> const logits{1, 2, 3, 4};
  SamplingParameters const parameters{.temperature = 0, .min_tokens = 2, .stop_token_ids = ids({2})};
  auto const ends = ids({3}), one = ids({1}), two = ids({1, 1});

  EXPECT_EQ(sample_after(parameters, logits, {.end_tokens = ends}), TokenId{1});
  EXPECT_EQ(sample_after(parameters, logits, {.output = one, .end_tokens = ends}), TokenId{1});
  EXPECT_EQ(sample_after(parameters, logits, {.output = two, .end_tokens = ends}), TokenId{3});
}

TEST(Greedy, WhereNothingIsLeftTheLowestAllowedIdIsTaken) {
  SamplingParameters parameters{.temperature = 0, .allowed_token_ids = ids({3, 2}), .min_tokens = 1};
  auto const ends = ids({2, 3});

  EXPECT_EQ(sample_after(parameters, {1, 2, 3, 4}, {.end_tokens = ends}), TokenId{2});
  parameters.temperature = 1;
  EXPECT_EQ(sample_after(parameters, {1, 2, 3, 4}, {.end_tokens = ends}), TokenId{2});
}

TEST(Penalties, PresenceAndFrequencyCountOutputAlone) {
  auto const prompt = ids({3, 3, 3}), output = ids({2, 2});
  SequenceTokens const tokens{.prompt = prompt, .output = output};

  EXPECT_EQ(sample_after({.temperature = 0, .presence_penalty = 1.5}, {0, 1, 2.4f, 0.5f}, tokens), TokenId{1});
  EXPECT_EQ(sample_after({.temperature = 0, .presence_penalty = 1.5}, {0, 1, 2.6f, 0.5f}, tokens), TokenId{2});
  EXPECT_EQ(sample_after({.temperature = 0, .frequency_penalty = 0.75}, {0, 1, 2.4f, 0.5f}, tokens), TokenId{1});
  EXPECT_EQ(sample_after({.temperature = 0, .presence_penalty = 2, .frequency_penalty = 2}, {0, 1, 2, 3}, tokens),
            TokenId{3});
}

TEST(Penalties, RepetitionDividesPositiveAndMultipliesNegativeLogitsOfPromptAndOutput) {
  auto const prompt = ids({0}), output = ids({1});
  SequenceTokens const tokens{.prompt = prompt, .output = output};

  EXPECT_EQ(sample_after({.temperature = 0, .repetition_penalty = 2}, {3.9f, 3.8f, 2}, tokens), TokenId{2});
  EXPECT_EQ(sample_after({.temperature = 0, .repetition_penalty = 2}, {4.1f, 3.8f, 2}, tokens), TokenId{0});
  EXPECT_EQ(sample_after({.temperature = 0, .repetition_penalty = 2}, {-1, -1, -1.9f}, tokens), TokenId{2});
  EXPECT_EQ(sample_after({.temperature = 0, .repetition_penalty = 2}, {-1, -1, -2.1f}, tokens), TokenId{0});
}

TEST(SamplingState, AcceptedTokensCountLikeReplayedOnes) {
  SamplingParameters const parameters{.frequency_penalty = 1, .repetition_penalty = 1.1};
  auto const prompt = ids({5, 6}), output = ids({6, 7, 6});
  SamplingState step_by_step(parameters, 2, {.prompt = prompt});

  for (TokenId token : output) step_by_step.accept(token);

  SamplingState const replayed(parameters, 2, {.prompt = prompt, .output = output});
  EXPECT_EQ(step_by_step.output_tokens(), replayed.output_tokens());
  for (auto const& [token, count] : replayed.counts()) {
    EXPECT_EQ(step_by_step.counts().at(token).output, count.output);
    EXPECT_EQ(step_by_step.counts().at(token).in_prompt, count.in_prompt);
  }
}

/// The specification: everything sorted.
TokenId naive_sample(SamplingParameters const& p, std::vector<float> const& logits, double draw) {
  struct Kept {
    float logit;
    std::size_t id;
    double weight;
  };
  std::vector<Kept> kept;
  float const top = *std::ranges::max_element(logits);
  for (std::size_t id = 0; id < logits.size(); ++id) {
    float const w = decaying_exp((logits[id] - top) / float(p.temperature));
    if (w > 0 && w >= float(p.min_p)) kept.push_back({logits[id], id, double(w)});
  }
  std::ranges::stable_sort(kept, [](Kept const& a, Kept const& b) { return a.logit > b.logit; });
  if (p.top_k > 0 && kept.size() > std::size_t(p.top_k)) kept.resize(std::size_t(p.top_k));
  double total = 0;
  for (Kept const& k : kept) total += k.weight;
  double nucleus = 0;
  std::size_t count = 0;
  while (count < kept.size() && nucleus < p.top_p * total) nucleus += kept[count++].weight;
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i)
    if ((sum += kept[i].weight) > draw * nucleus) return TokenId(kept[i].id);
  return TokenId(kept[count - 1].id);
}

TEST(Sampling, PartialSelectionGivesWhatAFullSortGives) {
  std::mt19937_64 random(11);
  SamplingScratch scratch;
  int differing_from_greedy = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<float> logits(1 + random() % 3000);
    float const spread = std::vector{0.0f, 0.5f, 3.0f, 10.0f}[random() % 4];
    for (float& x : logits)
      x = std::round(std::normal_distribution<float>(0, 1)(random) * spread * 8) / 8;  // many ties
    SamplingParameters p{.temperature = std::vector{0.01, 0.3, 1.0, 2.5, 20.0}[random() % 5],
                         .top_p = std::vector{1.0, 0.95, 0.5, 1e-9}[random() % 4],
                         .top_k = std::vector{0, 1, 7, 40, 5000}[random() % 5],
                         .min_p = std::vector{0.0, 0.05, 1.0}[random() % 3],
                         .seed = random()};
    SamplingState const state(p, 3, {});

    TokenId const token = *sample({.logits = logits, .parameters = &p, .state = &state}, scratch);

    ASSERT_EQ(token, naive_sample(p, logits, uniform({.seed = p.seed, .choice = 3}))) << round;
    differing_from_greedy += token != TokenId(std::ranges::max_element(logits) - logits.begin());
  }
  EXPECT_GT(differing_from_greedy, 500);
}

TEST(Sampling, DrawsFollowTheDistribution) {
  std::vector<float> const logits{std::log(1.0f), std::log(6.0f), impossible, std::log(3.0f)};
  std::vector<int> drawn(4);

  for (std::uint64_t seed = 0; seed < 10'000; ++seed) ++drawn[number(sample_after({.seed = seed}, logits))];

  EXPECT_NEAR(drawn[0], 1000, 120);  // 4 standard deviations
  EXPECT_NEAR(drawn[1], 6000, 200);
  EXPECT_EQ(drawn[2], 0);
  EXPECT_NEAR(drawn[3], 3000, 190);
}

TEST(Sampling, TopKAtATieKeepsTheLowerIds) {
  for (std::uint64_t seed = 0; seed < 200; ++seed)
    EXPECT_LT(number(sample_after({.top_k = 2, .seed = seed}, {1, 1, 1, 1})), 2u);
}

TEST(Sampling, AlmostZeroTemperatureIsGreedy) {
  EXPECT_EQ(sample_after({.temperature = 1e-300}, {1, 4.998f, 5, 4.999f}), TokenId{2});
}

TEST(PositionLogprobs, GivesTheChosenTokenAndTheLikeliestOnes) {
  std::vector<float> const logits{1, 4, 2, 4, 3};

  auto const result = position_logprobs({.logits = logits, .normalizer = 5, .chosen = TokenId{0}, .top = 3});

  EXPECT_EQ(result.chosen.logprob, -4);
  ASSERT_EQ(result.top.size(), 3u);
  EXPECT_EQ(result.top[0].token, TokenId{1});
  EXPECT_EQ(result.top[1].token, TokenId{3});
  EXPECT_EQ(result.top[2].token, TokenId{4});
  EXPECT_EQ(result.top[2].logprob, -2);
  EXPECT_TRUE(position_logprobs({.logits = logits, .chosen = TokenId{0}}).top.empty());
  EXPECT_EQ(position_logprobs({.logits = logits, .chosen = TokenId{0}, .top = 99}).top.size(), 5u);
}

TEST(CheckSampling, NamesTheFieldItsValueAndItsRange) {
  auto const message = [](SamplingParameters const& parameters) -> std::string {
    try {
      check(parameters);
    } catch (InputError const& error) {
      return error.what();
    }
    return "";
  };

  EXPECT_EQ(message({}), "");
  EXPECT_EQ(message({.temperature = -1}), "temperature=-1 is out of range; use 0 (greedy) or a positive number");
  EXPECT_NE(message({.temperature = std::nan("")}), "");
  EXPECT_NE(message({.top_p = 0}), "");
  EXPECT_NE(message({.top_p = 1.01}), "");
  EXPECT_NE(message({.top_k = -1}), "");
  EXPECT_NE(message({.min_p = 1.5}), "");
  EXPECT_NE(message({.presence_penalty = 2.1}), "");
  EXPECT_NE(message({.frequency_penalty = -2.1}), "");
  EXPECT_NE(message({.repetition_penalty = 0}), "");
  EXPECT_EQ(message({.logit_bias = {{TokenId{7}, 101}}}),
            "logit_bias of token 7=101 is out of range; use a number from -100 to 100");
  EXPECT_NE(message({.max_tokens = -1}), "");
  EXPECT_EQ(message({.max_tokens = 4, .min_tokens = 5}),
            "min_tokens=5 is out of range; use a count from 0 to max_tokens (4)");
  EXPECT_NE(message({.stop = {"a", ""}}), "");
  EXPECT_NE(message({.stop = std::vector<std::string>(17, "x")}), "");
  EXPECT_NE(message({.logprobs = -1}), "");
  EXPECT_NE(message({.prompt_logprobs = -1}), "");
}

}  // namespace
}  // namespace windlass
