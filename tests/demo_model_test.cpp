// The demo model (SmolLM2-135M-Instruct, Q4_1) against what transformers computed for it, on the fastest backend.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/engine_fixtures.hpp"

namespace windlass {
namespace {

using namespace testing_data;

/// A step whose two best tokens are nearer than this may go either way (inputs/reference/README.md).
constexpr double near_tie = 0.02;

/// Prompts up to this many tokens: the longest takes too long under sanitizers.
std::size_t longest_prompt_tokens() {
#ifdef NDEBUG
  return 4096;
#else
  return 256;
#endif
}

struct Comparison {
  int wrong_tokens = 0;      ///< first step that differs without a near tie: 1 for each prompt that has one
  double largest_error = 0;  ///< of prompt log-probabilities
  double mean_error = 0;     ///< over all prompts' tokens
};

bool continues_as(Choice const& choice, boost::json::value const& golden) {
  auto const ids = token_ids(golden.at("ids"));
  auto const margins = doubles(golden.at("margins"));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (margins[i] < near_tie) return true;
    if (choice.tokens.at(i) != ids[i]) return false;
  }
  return true;
}

Comparison compare(Precision precision) {
  auto const golden = read_json(reference_path("smollm2.json"));
  Runner runner(demo_model(), precision, operations("auto"), 2);
  runner.config.kv_bytes = std::int64_t{1} << 30;
  std::vector<boost::json::value const*> prompts;
  std::vector<Request> requests;
  for (auto const& prompt : golden.at("prompts").as_array()) {
    if (prompt.at("ids").as_array().size() > longest_prompt_tokens()) continue;
    int const steps = int(prompt.at("continuation").at("ids").as_array().size());
    Request request = greedy_request(prompts.size(), token_ids(prompt.at("ids")), steps);
    request.sampling.prompt_logprobs = 0;
    requests.push_back(std::move(request));
    prompts.push_back(&prompt);
  }

  auto const answers = runner.run(std::move(requests));

  Comparison comparison;
  std::size_t positions = 0;
  for (std::size_t index = 0; index < prompts.size(); ++index) {
    Answer const& answer = answers.at(RequestId{index});
    EXPECT_EQ(answer.error, "");
    if (!continues_as(answer.choices.at(0), prompts[index]->at("continuation"))) ++comparison.wrong_tokens;
    auto const logprobs = doubles(prompts[index]->at("prompt_logprobs"));
    for (std::size_t i = 1; i < logprobs.size(); ++i, ++positions) {
      double const error = std::abs(answer.prompt_logprobs.at(i - 1).chosen.logprob - logprobs[i]);
      comparison.largest_error = std::max(comparison.largest_error, error);
      comparison.mean_error += error;
    }
  }
  comparison.mean_error /= double(positions);
  return comparison;
}

TEST(DemoModel, InFloat32GivesTheTokensAndLogProbabilitiesOfTransformers) {
  Comparison const comparison = compare(Precision::f32);

  EXPECT_EQ(comparison.wrong_tokens, 0);
  EXPECT_LT(comparison.largest_error, 5e-3);  // smollm2.json: logprob_tolerance
}

TEST(DemoModel, WithQuantisedActivationsStaysNearTransformers) {
  Comparison const comparison = compare(Precision::fast);

  EXPECT_LT(comparison.mean_error, 0.1);  // the short prompts alone: up to 0.07; all: 0.03
}

}  // namespace
}  // namespace windlass
