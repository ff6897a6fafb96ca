// Every reference model against what transformers computed for it, on every backend of the machine, in float32.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "tests/engine_fixtures.hpp"

namespace windlass {
namespace {

using namespace testing_data;

struct Case {
  std::string model;
  Operations const* operations;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (char const* model :
       {"llama-gqa", "llama3-rope-tied-bf16", "qwen2-sharded", "qwen3-v5config", "mistral-window128", "mixtral-4x2",
        "qwen3moe-6x2", "gemma2-softcaps", "gemma3-two-ropes", "phi3-longrope", "llama-yarn", "llama-linear-bias",
        "qwen3-fp8-blocks", "llama-fp8-channels", "llama-kquants"})
    for (Operations const* operations : available_operations()) {
#ifndef NDEBUG  // the reference kernels take too long under sanitizers
      if (std::string(operations->name) == "reference" && std::string(model) != "llama-gqa") continue;
#endif
      all.push_back({model, operations});
    }
  return all;
}

class ReferenceModel : public testing::TestWithParam<Case> {};

TEST_P(ReferenceModel, GreedyTokensAndLogProbabilitiesAreThoseOfTransformers) {
  auto const golden = read_json(reference_path(GetParam().model) + "/golden.json");
  double const tolerance = golden.at("logprob_tolerance").to_number<double>();
  std::string const folder = reference_path(GetParam().model), file = folder + "/model.gguf";
  Runner runner(std::filesystem::exists(file) ? file : folder, Precision::f32, *GetParam().operations, 2);
  std::vector<Request> requests;
  for (auto const& prompt : golden.at("prompts").as_array()) {
    auto const& continuation = prompt.at("continuation");
    Request request =
        greedy_request(requests.size(), token_ids(prompt.at("ids")), int(continuation.at("ids").as_array().size()));
    request.sampling.prompt_logprobs = 0;
    requests.push_back(std::move(request));
  }

  auto const answers = runner.run(std::move(requests));

  std::uint64_t id = 0;
  for (auto const& prompt : golden.at("prompts").as_array()) {
    SCOPED_TRACE(std::string(prompt.at("name").as_string()));
    Answer const& answer = answers.at(RequestId{id++});
    ASSERT_EQ(answer.error, "");
    Choice const& choice = answer.choices.at(0);
    EXPECT_EQ(choice.tokens, token_ids(prompt.at("continuation").at("ids")));
    auto const logprobs = doubles(prompt.at("continuation").at("logprobs"));
    ASSERT_EQ(choice.logprobs.size(), logprobs.size());
    for (std::size_t i = 0; i < logprobs.size(); ++i)
      EXPECT_NEAR(choice.logprobs[i].chosen.logprob, logprobs[i], tolerance);
    auto const prompt_logprobs = doubles(prompt.at("prompt_logprobs"));
    ASSERT_EQ(answer.prompt_logprobs.size() + 1, prompt_logprobs.size());
    for (std::size_t i = 1; i < prompt_logprobs.size(); ++i)
      EXPECT_NEAR(answer.prompt_logprobs[i - 1].chosen.logprob, prompt_logprobs[i], tolerance)
          << "prompt position " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(AllBackends, ReferenceModel, testing::ValuesIn(cases()), [](auto const& info) {
  std::string name = info.param.model + "_" + info.param.operations->name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

}  // namespace
}  // namespace windlass
