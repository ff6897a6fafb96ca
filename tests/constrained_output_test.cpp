// Constrained requests through the engine: finished answers have the form they were asked for, the same ones always.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "src/grammar/byte_automaton.hpp"
#include "tests/engine_fixtures.hpp"

namespace windlass {
namespace {

using namespace testing_data;
using Kind = Constraint::Kind;

class ConstrainedOutput : public testing::Test {
 protected:
  Request request(std::uint64_t id, Constraint constraint) {
    Request one{.id = RequestId{id}, .prompt = {TokenId{5}, TokenId{9}, TokenId(id % 100)}, .choices = 2};
    one.sampling = {.seed = id, .max_tokens = 120, .constraint = std::move(constraint)};
    return one;
  }

  Runner runner_{reference_path("llama-gqa"), Precision::fast, operations("auto"), 1};
};

std::vector<Constraint> const& constraints() {
  static std::vector<Constraint> const all = {
      {.kind = Kind::json_schema,
       .source = R"({"type":"object","properties":{"name":{"type":"string","maxLength":6},"age":{"type":"integer",
                  "minimum":0,"maximum":150},"tags":{"type":"array","items":{"enum":["x","yy"]},"maxItems":3}},
                  "required":["name","age"]})"},
      {.kind = Kind::json_schema, .source = R"({"type":"array","items":{"type":"boolean"},"minItems":2,"maxItems":4})"},
      {.kind = Kind::regex, .source = "[a-f]{3}-\\d{2}"},
      {.kind = Kind::choice, .source = R"(["red","green","blue"])"},
  };
  return all;
}

TEST_F(ConstrainedOutput, FinishedAnswersHaveTheirForm) {
  std::vector<Request> requests;
  for (std::uint64_t id = 0; id < 24; ++id) requests.push_back(request(id, constraints()[id % 4]));
  for (std::uint64_t id = 0; id < 24; id += 3) requests[id].sampling.temperature = 0;

  auto const answers = runner_.run(requests);

  int finished = 0;
  for (Request const& asked : requests) {
    Answer const& answer = answers.at(asked.id);
    ASSERT_EQ(answer.error, "");
    grammar::ByteAutomaton form(std::make_shared<grammar::Grammar const>(compile(asked.sampling.constraint)));
    for (Choice const& choice : answer.choices) {
      auto state = form.start();
      for (char const byte : choice.text) state = form.next(state, static_cast<unsigned char>(byte));
      EXPECT_NE(state, grammar::dead_state) << choice.text;
      EXPECT_EQ(form.accepts(state), choice.finish == FinishReason::stop) << choice.text;
      finished += choice.finish == FinishReason::stop;
    }
  }
  EXPECT_GT(finished, 40);
}

TEST_F(ConstrainedOutput, IsTheSameAloneAndInABatch) {
  std::vector<Request> requests;
  for (std::uint64_t id = 0; id < 8; ++id) requests.push_back(request(id, constraints()[id % 4]));
  auto const together = runner_.run(requests);

  for (Request const& asked : requests) {
    auto const alone = runner_.run({asked});

    for (std::size_t choice = 0; choice < 2; ++choice)
      EXPECT_EQ(alone.at(asked.id).choices[choice].tokens, together.at(asked.id).choices[choice].tokens);
  }
}

TEST_F(ConstrainedOutput, WhatNoTokenCanWriteIsAnError) {
  Request asked = request(1, {.kind = Kind::choice, .source = R"(["a"])"});
  asked.sampling.allowed_token_ids = {TokenId{3}};

  auto const answers = runner_.run({asked, request(2, {.kind = Kind::regex, .source = "("})});

  EXPECT_NE(answers.at(RequestId{1}).error.find("no token"), std::string::npos);
  EXPECT_NE(answers.at(RequestId{2}).error.find("regular expression"), std::string::npos);
}

}  // namespace
}  // namespace windlass
