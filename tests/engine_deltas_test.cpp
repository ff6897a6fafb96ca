// What the engine reports step by step, put together, is what it answers at the end.
#include <gtest/gtest.h>

#include <memory>

#include "src/model/model_text.hpp"
#include "tests/engine_fixtures.hpp"

namespace windlass {
namespace {

bool equal(TokenLogprob const& a, TokenLogprob const& b) { return a.token == b.token && a.logprob == b.logprob; }
bool same(std::vector<PositionLogprobs> const& a, std::vector<PositionLogprobs> const& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](auto const& x, auto const& y) {
    return equal(x.chosen, y.chosen) && std::equal(x.top.begin(), x.top.end(), y.top.begin(), y.top.end(), equal);
  });
}

struct Collected {
  std::map<int, Choice> choices;  ///< put together from deltas
  std::vector<PositionLogprobs> prompt_logprobs;
  std::vector<std::size_t> tokens_per_step;
  Answer answer;
};

class EngineDeltas : public testing::Test {
 protected:
  /// Runs one request; every step's deltas are looked at before the next step.
  Collected collect(Request request) {
    Engine engine(runner_.model, runner_.config, runner_.operations, runner_.collective, runner_.team);
    engine.submit(std::move(request));
    Collected all;
    while (!engine.idle()) {
      engine.step();
      std::size_t tokens = 0;
      for (ChoiceDelta const& delta : engine.take_deltas()) {
        add(all, delta);
        tokens += delta.tokens.size();
      }
      all.tokens_per_step.push_back(tokens);
    }
    auto answers = engine.take_answers();
    EXPECT_EQ(answers.size(), 1u);
    all.answer = std::move(answers.at(0));
    return all;
  }

  testing_data::Runner runner_{testing_data::reference_path("llama-gqa"), Precision::f32, operations("auto"), 1};

 private:
  static void add(Collected& all, ChoiceDelta const& delta) {
    bool const is_new = !all.choices.contains(delta.choice);
    Choice& choice = all.choices[delta.choice];
    if (is_new) choice.finish = FinishReason::error;  // until a delta says otherwise
    EXPECT_EQ(int(choice.finish), int(FinishReason::error)) << "a delta came after the last one";
    choice.text += delta.text;
    choice.tokens.insert(choice.tokens.end(), delta.tokens.begin(), delta.tokens.end());
    choice.logprobs.insert(choice.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
    if (!delta.prompt_logprobs.empty()) all.prompt_logprobs = delta.prompt_logprobs;
    if (delta.finish) choice.finish = *delta.finish;
  }
};

void expect_equal(Collected const& collected) {
  ASSERT_EQ(collected.choices.size(), collected.answer.choices.size());
  for (auto const& [index, choice] : collected.choices) {
    Choice const& whole = collected.answer.choices.at(std::size_t(index));
    EXPECT_EQ(choice.tokens, whole.tokens);
    EXPECT_EQ(choice.text, whole.text);
    EXPECT_TRUE(same(choice.logprobs, whole.logprobs));
    EXPECT_EQ(int(choice.finish), int(whole.finish));
  }
}

std::vector<TokenId> prompt_of(int count) {
  std::vector<TokenId> prompt;
  for (int i = 0; i < count; ++i) prompt.push_back(TokenId(std::uint32_t(5 + i * 7 % 200)));
  return prompt;
}

TEST_F(EngineDeltas, ComeOncePerStepAndMakeUpTheAnswer) {
  Request request{.id = RequestId{7}, .prompt = prompt_of(9), .choices = 3, .deltas = Deltas::on};
  request.sampling = {.temperature = 1, .seed = 4, .max_tokens = 12, .ignore_eos = true, .logprobs = 2};

  Collected const collected = collect(std::move(request));

  expect_equal(collected);
  EXPECT_EQ(collected.choices.size(), 3u);
  ASSERT_FALSE(collected.tokens_per_step.empty());
  EXPECT_EQ(collected.tokens_per_step.front(), 3u);  // one for each choice
}

TEST_F(EngineDeltas, HoldBackWhatMayBecomeAStopString) {
  Request probe = testing_data::greedy_request(1, prompt_of(9), 24);
  std::string const text = collect(std::move(probe)).answer.choices.at(0).text;
  ASSERT_GT(text.size(), 8u);
  Request request = testing_data::greedy_request(2, prompt_of(9), 24);
  request.deltas = Deltas::on;
  request.sampling.stop = {text.substr(text.size() / 2, 3)};

  Collected const collected = collect(std::move(request));

  expect_equal(collected);
  EXPECT_EQ(collected.choices.at(0).text.find(text.substr(text.size() / 2, 3)), std::string::npos);
}

TEST_F(EngineDeltas, BringThePromptsLogprobsWithTheFirstToken) {
  Request request = testing_data::greedy_request(1, prompt_of(9), 4);
  request.deltas = Deltas::on;
  request.sampling.prompt_logprobs = 1;

  Collected const collected = collect(std::move(request));

  EXPECT_EQ(collected.prompt_logprobs.size(), 8u);
  EXPECT_TRUE(same(collected.prompt_logprobs, collected.answer.prompt_logprobs));
}

TEST_F(EngineDeltas, AreNotMadeForRequestsThatDidNotAskForThem) {
  Collected const collected = collect(testing_data::greedy_request(1, prompt_of(9), 4));

  EXPECT_TRUE(collected.choices.empty());
  EXPECT_EQ(collected.answer.choices.at(0).tokens.size(), 4u);
}

TEST_F(EngineDeltas, LowerPriorityNumbersStartFirst) {
  runner_.config.max_sequences = 1;
  Engine engine(runner_.model, runner_.config, runner_.operations, runner_.collective, runner_.team);
  for (std::uint64_t id = 1; id <= 5; ++id) {
    Request request = testing_data::greedy_request(id, {TokenId{3}, TokenId(id)}, 2);
    request.priority = std::vector{0, 7, 0, -2, 7}[id - 1];
    engine.submit(std::move(request));
  }

  std::vector<std::uint64_t> order;
  while (!engine.idle()) {
    engine.step();
    for (Answer const& answer : engine.take_answers()) order.push_back(number(answer.id));
  }

  EXPECT_EQ(order, (std::vector<std::uint64_t>{4, 1, 3, 2, 5}));
}

TEST_F(EngineDeltas, PromptsAreScoredFromWhereItIsAskedFor) {
  std::vector<TokenId> prompt;
  for (std::uint32_t i = 0; i < 200; ++i) prompt.push_back(TokenId(3 + i % 50));
  Request whole = testing_data::greedy_request(1, prompt, 1), end = testing_data::greedy_request(2, prompt, 1);
  whole.sampling.prompt_logprobs = end.sampling.prompt_logprobs = 2;
  end.sampling.prompt_logprobs_start = 150;
  runner_.config.chunk_tokens = 64;
  Engine engine(runner_.model, runner_.config, runner_.operations, runner_.collective, runner_.team);

  std::vector<Answer> answers;
  for (Request const& request : {whole, end}) {
    engine.submit(request);
    while (!engine.idle()) engine.step();
    for (Answer& answer : engine.take_answers()) answers.push_back(std::move(answer));
  }

  ASSERT_EQ(answers.size(), 2u);
  ASSERT_EQ(answers[0].prompt_logprobs.size(), 199u);
  ASSERT_EQ(answers[1].prompt_logprobs.size(), 50u);
  EXPECT_TRUE(
      same({answers[0].prompt_logprobs.begin() + 149, answers[0].prompt_logprobs.end()}, answers[1].prompt_logprobs));
  EXPECT_EQ(answers[1].cached_tokens, 128);
}

}  // namespace
}  // namespace windlass
