#include "src/serve/openai_answer.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <limits>

#include "src/serve/json_text.hpp"
#include "src/serve/openai_stream.hpp"
#include "tests/fake_tokenizer.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

std::vector<TokenId> ids(std::string const& text) { return FakeTokenizer().encode(text, AddSpecial::no); }

PositionLogprobs position(char chosen, float logprob, std::vector<TokenLogprob> top = {}) {
  return {.chosen = {TokenId(static_cast<unsigned char>(chosen)), logprob}, .top = std::move(top)};
}

/// A request "hé" with one choice "ok" and everything that can be shown.
struct Example {
  ApiRequest request{.endpoint = Endpoint::completions,
                     .model = "tiny",
                     .prompts = {ids("h\xc3\xa9")},
                     .echo_texts = {"h\xc3\xa9"},
                     .echo = true,
                     .return_token_ids = true,
                     .logprobs = 1,
                     .prompt_logprobs = 1};
  std::vector<Answer> answers{
      {.choices = {{.tokens = ids("ok"),
                    .text = "ok",
                    .logprobs = {position('o', -0.1f, {{TokenId{'o'}, -0.1f}, {TokenId{'x'}, -3}}),
                                 position('k', -2.5f, {{TokenId{'z'}, -0.2f}})},
                    .finish = FinishReason::stop}},
       .prompt_logprobs = {position('\xc3', -1, {{TokenId{0xc3}, -1}}),
                           position('\xa9', -std::numeric_limits<float>::infinity(), {})},
       .cached_tokens = 2}};

  json::object body() const {
    FakeTokenizer const tokenizer;
    auto const record = json::parse(answer_record({.key = {1, 2}, .custom_id = "c\"1"}, request, answers, &tokenizer));
    EXPECT_EQ(record.at("custom_id").as_string(), "c\"1");
    EXPECT_EQ(record.at("response").at("status_code").as_int64(), 200);
    EXPECT_TRUE(record.at("error").is_null());
    return record.at("response").at("body").as_object();
  }
};

TEST(OpenAiAnswer, ACompletionHasTheLegacyForm) {
  json::object const body = Example().body();
  json::object const& choice = body.at("choices").at(0).as_object();
  json::object const& logprobs = choice.at("logprobs").as_object();

  EXPECT_EQ(body.at("object"), "text_completion");
  EXPECT_EQ(choice.at("text").as_string(), "h\xc3\xa9ok");
  EXPECT_EQ(choice.at("finish_reason"), "stop");
  EXPECT_EQ(json::serialize(logprobs.at("tokens")), R"(["h","bytes:\\xc3","bytes:\\xa9","o","k"])");
  EXPECT_EQ(json::serialize(logprobs.at("text_offset")), "[0,1,1,2,3]");
  EXPECT_TRUE(logprobs.at("token_logprobs").at(0).is_null());
  EXPECT_EQ(logprobs.at("token_logprobs").at(2).to_number<double>(), -9999);
  EXPECT_EQ(logprobs.at("top_logprobs").at(3).as_object().size(), 1U);  // one asked for, and it is the chosen one
  EXPECT_EQ(logprobs.at("top_logprobs").at(4).as_object().size(), 2U);  // the chosen one is added
  EXPECT_EQ(
      json::serialize(body.at("usage")),
      R"({"prompt_tokens":3,"completion_tokens":2,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":2}})");
}

TEST(OpenAiAnswer, TokenIdsAndPromptLogprobsHaveVllmsForm) {
  json::object const body = Example().body();
  json::object const& choice = body.at("choices").at(0).as_object();

  EXPECT_EQ(json::serialize(choice.at("token_ids")), "[111,107]");
  EXPECT_EQ(json::serialize(choice.at("prompt_token_ids")), "[104,195,169]");
  EXPECT_TRUE(choice.at("prompt_logprobs").at(0).is_null());
  EXPECT_EQ(choice.at("prompt_logprobs").at(1).at("195").at("rank").as_int64(), 1);
  EXPECT_TRUE(choice.at("prompt_logprobs").at(2).at("169").at("rank").is_null());
}

TEST(OpenAiAnswer, AChatHasItsOwnForm) {
  Example example;
  example.request.endpoint = Endpoint::chat;
  example.request.echo = false;
  json::object const body = example.body();
  json::object const& choice = body.at("choices").at(0).as_object();
  json::value const& first = choice.at("logprobs").at("content").at(0);

  EXPECT_EQ(body.at("object"), "chat.completion");
  EXPECT_EQ(choice.at("message").at("content"), "ok");
  EXPECT_EQ(choice.at("message").at("role"), "assistant");
  EXPECT_EQ(first.at("token"), "o");
  EXPECT_EQ(json::serialize(first.at("bytes")), "[111]");
  EXPECT_EQ(first.at("top_logprobs").as_array().size(), 1U);
  EXPECT_EQ(json::serialize(body.at("prompt_token_ids")), "[104,195,169]");
  EXPECT_FALSE(choice.contains("prompt_token_ids"));
}

TEST(OpenAiAnswer, SeveralPromptsGiveTheirChoicesInOrder) {
  Example example;
  example.request.prompts.push_back(ids("x"));
  example.request.echo_texts.push_back("x");
  example.request.logprobs.reset();
  example.request.prompt_logprobs.reset();
  example.answers.push_back({.choices = {{.text = "second"}, {.text = "third"}}});
  json::object const body = example.body();

  EXPECT_EQ(body.at("choices").at(2).at("index").as_int64(), 2);
  EXPECT_EQ(body.at("choices").at(2).at("text"), "xthird");
  EXPECT_TRUE(body.at("choices").at(0).at("logprobs").is_null());
}

TEST(OpenAiAnswer, WithoutATokenizerTokensAreNumbers) {
  Example const example;
  auto const record = json::parse(answer_record({.custom_id = "a"}, example.request, example.answers, nullptr));
  EXPECT_EQ(record.at("response").at("body").at("choices").at(0).at("logprobs").at("tokens").at(0), "token_id:104");
}

TEST(OpenAiAnswer, AnErrorIsOpenAisErrorObject) {
  auto const record = json::parse(error_record({.custom_id = "line-3"}, {"bad \xff field", "temperature", ""}));
  json::value const& error = record.at("response").at("body").at("error");

  EXPECT_EQ(record.at("response").at("status_code").as_int64(), 400);
  EXPECT_EQ(error.at("message").as_string(), "bad \xef\xbf\xbd field");
  EXPECT_EQ(error.at("type"), "invalid_request_error");
  EXPECT_EQ(error.at("param"), "temperature");
  EXPECT_TRUE(error.at("code").is_null());
}

TEST(JsonText, Float32ReadsBackExactlyAndIsShort) {
  for (float const value : {-0.1f, -1.0f / 3, 0.0f, -123.456f, 1e-30f, -9999.0f}) {
    std::string out;
    append_json_float(out, value);
    EXPECT_EQ(std::strtof(out.c_str(), nullptr), value);
    EXPECT_EQ(json::parse(out).to_number<double>(), std::strtod(out.c_str(), nullptr));
    EXPECT_LE(out.size(), 14U);
  }
  std::string out;
  append_json_float(out, -0.1f);
  EXPECT_EQ(out, "-0.1");
}

TEST(JsonText, StringsAreEscapedAndRepaired) {
  std::string out;
  append_json_string(out, std::string_view("\"\\\n\0\x1f\xe2\x82\xac\xe2\x82 \xed\xa0\x80", 14));
  EXPECT_EQ(out,
            "\"\\\"\\\\\\n\\u0000\\u001f\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(count_characters("h\xc3\xa9"), 2U);
}

/// A chat with tools whose answer is one word and one call.
struct ToolExample {
  ToolExample() {
    request.endpoint = Endpoint::chat;
    request.model = "tiny";
    request.prompts = {ids("hi")};
    request.tool_calls = ToolCallFormat::hermes;
    answers[0].choices = {{.tokens = ids("x"), .text = text, .finish = FinishReason::stop}};
  }
  RecordHead const head{.key = {1, 2}, .custom_id = "c"};
  std::string const text = R"(Well <tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>)";
  ApiRequest request;
  std::vector<Answer> answers{1};
};

TEST(OpenAiAnswer, ACallOfAToolIsTakenOutOfTheText) {
  ToolExample const example;

  auto const body = json::parse(answer_body(example.head, example.request, example.answers, nullptr));

  auto const& choice = body.at("choices").at(0);
  auto const& call = choice.at("message").at("tool_calls").at(0);
  EXPECT_EQ(choice.at("message").at("content"), "Well");
  EXPECT_EQ(choice.at("finish_reason"), "tool_calls");
  EXPECT_EQ(call.at("type"), "function");
  EXPECT_EQ(call.at("function").at("name"), "add");
  EXPECT_EQ(call.at("function").at("arguments"), R"({"a": 1})");
  EXPECT_EQ(call.at("id").as_string().size(), 29u);
}

TEST(OpenAiAnswer, AStreamHasTheSameCallHoweverItsTextIsCut) {
  ToolExample const example;
  auto const whole = json::parse(answer_body(example.head, example.request, example.answers, nullptr));
  for (std::size_t const size : {1u, 3u, 1000u}) {
    StreamWriter writer(example.head, example.request, nullptr);
    std::string content;
    json::array calls;
    json::value last;
    for (std::size_t at = 0; at < example.text.size(); at += size) {
      bool const ends = at + size >= example.text.size();
      auto const event = writer.event(0, {.tokens = ids("x"),
                                          .text = example.text.substr(at, size),
                                          .finish = ends ? std::optional(FinishReason::stop) : std::nullopt});
      if (event.empty()) continue;
      last = json::parse(event);
      auto const& delta = last.at("choices").at(0).at("delta").as_object();
      content += std::string(delta.at("content").as_string());
      if (auto const* more = delta.if_contains("tool_calls"))
        for (auto const& call : more->as_array()) calls.push_back(call);
    }
    EXPECT_EQ(content, "Well");
    ASSERT_EQ(calls.size(), 1u);
    EXPECT_EQ(calls[0].at("index"), 0);
    calls[0].as_object().erase("index");
    EXPECT_EQ(calls[0], whole.at("choices").at(0).at("message").at("tool_calls").at(0));
    EXPECT_EQ(last.at("choices").at(0).at("finish_reason"), "tool_calls");
  }
}

}  // namespace
}  // namespace windlass
