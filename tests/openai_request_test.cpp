#include "src/serve/openai_request.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "src/core/text.hpp"
#include "src/serve/api_error.hpp"
#include "src/serve/request_json.hpp"
#include "tests/fake_tokenizer.hpp"

namespace windlass {
namespace {

class OpenAiRequest : public testing::Test {
 protected:
  ApiRequest completion(std::string const& fields) const { return parse("/v1/completions", fields); }
  ApiRequest chat(std::string const& fields) const { return parse("/v1/chat/completions", fields); }
  ApiRequest parse(std::string const& url, std::string const& fields) const {
    auto line = parse_strict_object(text(R"({"method":"POST","url":")", url, R"(","body":{)", fields, "}}"));
    return parse_request(open_batch_line(std::move(line)), "id", rules_);
  }
  /// The field that the error names, and its message.
  ApiError::Details refusal(std::string const& url, std::string const& fields) const {
    try {
      parse(url, fields);
    } catch (ApiError const& error) {
      return error.details();
    }
    return {"accepted", "accepted", "accepted"};
  }
  std::string refused_field(std::string const& fields) const { return refusal("/v1/completions", fields).param; }

  FakeTokenizer tokenizer_;
  RequestRules rules_{.model_name = "tiny",
                      .tokenizer = &tokenizer_,
                      .render_chat =
                          [](boost::json::object const& variables) {
                            std::string all;
                            for (auto const& message : variables.at("messages").as_array())
                              all += text("<", std::string(message.at("role").as_string()), ">",
                                          std::string(message.at("content").as_string()), "\n");
                            if (variables.at("add_generation_prompt").as_bool()) all += "<assistant>";
                            return all;
                          },
                      .vocab = 258,
                      .max_model_len = 100};
};

std::string words(std::vector<TokenId> const& ids) {
  std::string all;
  for (TokenId const id : ids) all += number(id) < 256 ? std::string(1, char(number(id))) : text("[", number(id), "]");
  return all;
}

TEST_F(OpenAiRequest, DefaultsAreOpenAis) {
  ApiRequest const request = completion(R"("prompt":"hi")");

  EXPECT_EQ(words(request.prompts.at(0)), "[256]hi");
  EXPECT_EQ(request.sampling.temperature, 1);
  EXPECT_EQ(request.sampling.max_tokens, 16);
  EXPECT_EQ(request.choices, 1);
  EXPECT_EQ(request.model, "tiny");
  EXPECT_FALSE(request.logprobs);
}

TEST_F(OpenAiRequest, EveryFieldArrives) {
  ApiRequest const request = completion(
      R"("prompt":[1,2],"model":"m","temperature":0,"top_p":0.5,"top_k":-1,"min_p":0.1,"presence_penalty":-2,
         "frequency_penalty":2,"repetition_penalty":1.2,"logit_bias":{"7":-100},"seed":-1,"n":3,"stop":["a","b"],
         "stop_token_ids":[5],"include_stop_str_in_output":true,"min_tokens":2,"max_tokens":4,"ignore_eos":true,
         "logprobs":2,"echo":true,"prompt_logprobs":4,"return_token_ids":true,"cache_salt":"s",
         "allowed_token_ids":[5,6],"skip_special_tokens":false,"user":"u","unknown":{},"stream":false)");
  SamplingParameters const& sampling = request.sampling;

  EXPECT_EQ(request.prompts, (std::vector<std::vector<TokenId>>{{TokenId{1}, TokenId{2}}}));
  EXPECT_EQ(sampling.temperature, 0);
  EXPECT_EQ(sampling.top_k, 0);
  EXPECT_EQ(sampling.seed, std::uint64_t(-1));
  EXPECT_EQ(sampling.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(sampling.logit_bias.at(0), std::pair(TokenId{7}, -100.0));
  EXPECT_EQ(sampling.prompt_logprobs, 4);
  EXPECT_EQ(sampling.logprobs, 2);
  EXPECT_EQ(request.echo_texts.at(0), "\x01\x02");
  EXPECT_EQ(request.cache_salt, "s");
  EXPECT_TRUE(request.return_token_ids && request.seed_given && sampling.ignore_eos && sampling.include_stop_text);
  EXPECT_FALSE(sampling.skip_special_tokens);
}

TEST_F(OpenAiRequest, PromptsComeInEveryForm) {
  EXPECT_EQ(completion(R"("prompt":["a","b"])").prompts.size(), 2U);
  EXPECT_EQ(completion(R"("prompt":[[1],[2,3]])").prompts.at(1).size(), 2U);
  EXPECT_EQ(words(completion(R"("prompt":"x","add_special_tokens":false)").prompts.at(0)), "x");
  EXPECT_EQ(words(completion(R"("prompt":"wxyz","truncate_prompt_tokens":2)").prompts.at(0)), "yz");
  for (char const* bad :
       {R"("prompt":[])", R"("prompt":5)", R"("prompt":["a",1])", R"("prompt":[258])", R"("prompt":[-1])",
        R"("prompt":[[1],[]])", R"("temperature":1)", R"("prompt":{})", R"("prompt":[1.5])"})
    EXPECT_EQ(refused_field(bad), "prompt") << bad;
}

TEST_F(OpenAiRequest, WrongTypesAndRangesNameTheField) {
  for (auto const& [field, value] :
       std::vector<std::pair<std::string, std::string>>{{"temperature", "\"hot\""},
                                                        {"temperature", "-0.1"},
                                                        {"top_p", "0"},
                                                        {"top_p", "1.1"},
                                                        {"top_k", "1.5"},
                                                        {"min_p", "2"},
                                                        {"presence_penalty", "2.1"},
                                                        {"repetition_penalty", "0"},
                                                        {"logit_bias", "{\"x\":1}"},
                                                        {"logit_bias", "{\"258\":1}"},
                                                        {"seed", "1.5"},
                                                        {"n", "0"},
                                                        {"n", "129"},
                                                        {"stop", "[\"\"]"},
                                                        {"stop", "[1]"},
                                                        {"stop_token_ids", "[999]"},
                                                        {"max_tokens", "-1"},
                                                        {"logprobs", "21"},
                                                        {"echo", "1"},
                                                        {"stream", "true"},
                                                        {"best_of", "2"},
                                                        {"suffix", "\"x\""},
                                                        {"truncate_prompt_tokens", "0"},
                                                        {"response_format", "{\"type\":\"grammar\"}"},
                                                        {"response_format", "{\"type\":\"json_schema\"}"},
                                                        {"structured_outputs", "{\"grammar\":\"x\"}"},
                                                        {"structured_outputs", "{}"},
                                                        {"structured_outputs", "{\"regex\":\"(\"}"},
                                                        {"guided_json", "{\"minProperties\":1}"},
                                                        {"guided_grammar", "\"x\""},
                                                        {"min_tokens", "17"}})
    EXPECT_EQ(refused_field(text(R"("prompt":"a",")", field, "\":", value)), field) << value;
}

TEST_F(OpenAiRequest, AConstraintMayComeUnderSeveralNames) {
  auto const constraint = [this](char const* field) {
    return completion(text(R"("prompt":"a",)", field)).sampling.constraint;
  };
  using Kind = Constraint::Kind;
  Constraint const schema{.kind = Kind::json_schema, .source = R"({"type":"null"})"};
  EXPECT_EQ(constraint(R"("response_format":{"type":"json_schema","json_schema":{"schema":{"type":"null"}}})"), schema);
  EXPECT_EQ(constraint(R"("structured_outputs":{"json":{"type":"null"}})"), schema);
  EXPECT_EQ(constraint(R"("guided_json":"{\"type\":\"null\"}")"), schema);
  EXPECT_EQ(constraint(R"("response_format":{"type":"json_object"})").kind, Kind::json_object);
  EXPECT_EQ(constraint(R"("structured_outputs":{"choice":["a","b"],"disable_any_whitespace":true})"),
            (Constraint{.kind = Kind::choice, .source = R"(["a","b"])", .spacing = JsonSpacing::none}));
  EXPECT_EQ(constraint(R"("response_format":{"type":"text"})").kind, Kind::none);
  EXPECT_TRUE(constraint(R"("guided_regex":"a")").compiled);
  EXPECT_EQ(refused_field(R"("prompt":"a","guided_regex":"a","response_format":{"type":"json_object"})"),
            "guided_regex");
}

TEST_F(OpenAiRequest, AMessageNamesValueAndRange) {
  EXPECT_EQ(refusal("/v1/completions", R"("prompt":"a","temperature":"hot")").message,
            "'temperature' must be a number from 0 to 100; it is \"hot\"");
}

TEST_F(OpenAiRequest, ThePromptMustFitTheContext) {
  std::string const long_text(100, 'a');
  EXPECT_EQ(refusal("/v1/completions", text(R"("prompt":")", long_text, "\"")).code, "context_length_exceeded");
  EXPECT_EQ(refusal("/v1/completions", R"("prompt":"abc","max_tokens":97)").code, "context_length_exceeded");
  EXPECT_EQ(completion(R"("prompt":"abc","max_tokens":96)").sampling.max_tokens, 96);
  EXPECT_EQ(completion(text(R"("prompt":")", std::string(90, 'a'), "\"")).sampling.max_tokens, 9);
}

TEST_F(OpenAiRequest, ChatIsRenderedAndMayFillTheContext) {
  ApiRequest const request =
      chat(R"("messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}],
                                     "max_completion_tokens":5,"logprobs":true,"top_logprobs":3)");

  EXPECT_EQ(words(request.prompts.at(0)), "<user>a\nb\n<assistant>");
  EXPECT_EQ(request.sampling.max_tokens, 5);
  EXPECT_EQ(request.logprobs, 3);
  EXPECT_EQ(chat(R"("messages":[{"role":"user","content":"a"}])").sampling.max_tokens, 100 - 19);
}

TEST_F(OpenAiRequest, TheFinalMessageCanBeContinued) {
  ApiRequest const request = chat(R"("messages":[{"role":"user","content":"a"},{"role":"assistant","content":"Sure "}],
                                     "continue_final_message":true)");

  EXPECT_EQ(words(request.prompts.at(0)), "<user>a\n<assistant>Sure ");
  EXPECT_EQ(refusal("/v1/chat/completions", R"("messages":[{"role":"user","content":"a"}],
                    "continue_final_message":true,"add_generation_prompt":true)")
                .param,
            "continue_final_message");
}

TEST_F(OpenAiRequest, BadMessagesAreRefused) {
  for (char const* bad : {R"("messages":[])", R"("messages":["a"])", R"("messages":[{"content":"a"}])",
                          R"("messages":[{"role":"user","content":[{"type":"image_url"}]}])", R"("messages":{})"})
    EXPECT_EQ(refusal("/v1/chat/completions", bad).param, "messages") << bad;
  EXPECT_EQ(refusal("/v1/chat/completions", R"("messages":[{"role":"u","content":"a"}],"top_logprobs":2)").param,
            "top_logprobs");
}

TEST_F(OpenAiRequest, AMissingSeedDependsOnJobSeedIdAndPrompt) {
  ApiRequest const request = completion(R"("prompt":["a","b"])");
  std::uint64_t const first = engine_request(request, 0, "id", 0).sampling.seed;

  EXPECT_EQ(first, request.sampling.seed);
  EXPECT_NE(first, engine_request(request, 1, "id", 0).sampling.seed);
  EXPECT_NE(first, engine_request(request, 0, "other", 0).sampling.seed);
  EXPECT_NE(first, engine_request(request, 0, "id", 1).sampling.seed);
  EXPECT_EQ(engine_request(completion(R"("prompt":["a","b"],"seed":3)"), 1, "id", 0).sampling.seed, 3U);
}

TEST_F(OpenAiRequest, OtherModelNamesAreRefusedOnlyWhereOneIsServed) {
  EXPECT_EQ(completion(R"("prompt":"a","model":"other")").model, "other");
  rules_.served_model_name = "mine";
  EXPECT_EQ(refusal("/v1/completions", R"("prompt":"a","model":"other")").code, "model_not_found");
}

TEST_F(OpenAiRequest, WithoutATokenizerOnlyTokenIdsWork) {
  rules_.tokenizer = nullptr;
  rules_.tokenizer_problem = "no file";
  EXPECT_EQ(completion(R"("prompt":[1],"echo":true)").prompts.size(), 1U);
  EXPECT_EQ(refusal("/v1/completions", R"("prompt":"a")").code, "no_tokenizer");
}

TEST(BatchLineEnvelope, IsChecked) {
  EXPECT_EQ(custom_id_of(parse_strict_object("{}"), 17), "line-17");
  EXPECT_EQ(custom_id_of(parse_strict_object(R"({"custom_id":"x"})"), 17), "x");
  EXPECT_THROW(custom_id_of(parse_strict_object(R"({"custom_id":5})"), 1), ApiError);
  for (char const* bad : {R"({"url":"/v1/embeddings","body":{}})", R"({"url":"/v1/completions"})",
                          R"({"url":"/v1/completions","body":[],"method":"POST"})",
                          R"({"url":"/v1/completions","body":{},"method":"GET"})"})
    EXPECT_THROW(open_batch_line(parse_strict_object(bad)), ApiError) << bad;
}

TEST(StrictJson, RefusesWhatIsNotOneCleanObject) {
  std::string const deep = text(R"({"a":)", std::string(100'000, '['), std::string(100'000, ']'), "}");
  for (std::string const& bad :
       {std::string("not JSON"), std::string("[1]"), std::string("{\"a\":1,\"b\":{\"c\":1,\"c\":2}}"),
        std::string("{\"a\":\"\xff\"}"), std::string("{\"a\":\"\xed\xa0\x80\"}"), std::string("{\"a\":1} x"),
        std::string("{\"a\":01}"), deep})
    EXPECT_THROW(parse_strict_object(bad), ApiError) << bad.substr(0, 30);
  EXPECT_EQ(parse_strict_object(R"({"a":[{"k":1},{"k":2}],"k":3})").size(), 2U);
}

}  // namespace
}  // namespace windlass
