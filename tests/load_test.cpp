// What a load generator sends, and the figures it makes of what came back.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "jobs/load_report.hpp"
#include "jobs/load_requests.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

LoadPlan plan_of_lengths(std::int32_t prompt, std::int32_t output, std::size_t count) {
  Workload workload(count);
  for (SimRequest& request : workload) request.lengths = {.prompt_tokens = prompt, .output_tokens = output};
  return plan_of(workload);
}

BodyRecipe recipe() { return {.model = "m", .prompts = {.vocab = 1000, .seed = 3}, .extra = {}}; }

json::object body(BodyRecipe const& recipe, PlannedRequest const& planned, std::size_t index) {
  return json::parse(request_body(recipe, planned, index)).as_object();
}

/// A file that goes with the test.
class Lines {
 public:
  explicit Lines(std::string const& content)
      : path_(testing::TempDir() + "load_" + testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::ofstream(path_) << content;
  }
  ~Lines() { std::filesystem::remove(path_); }
  std::string const& path() const { return path_; }

 private:
  std::string path_;
};

TEST(LoadRequests, PromptsHaveExactlyTheTokensAskedForAndDependOnTheSeed) {
  LoadPlan const plan = plan_of_lengths(37, 9, 2);
  BodyRecipe other = recipe();
  other.prompts.seed = 4;

  json::object const first = body(recipe(), plan[0], 0);

  EXPECT_EQ(first.at("prompt").as_array().size(), 37u);
  EXPECT_EQ(first.at("max_tokens"), 9);
  EXPECT_EQ(first.at("ignore_eos"), true);
  EXPECT_EQ(first.at("stream_options").at("include_usage"), true);
  EXPECT_EQ(first, body(recipe(), plan[0], 0));
  EXPECT_NE(first.at("prompt"), body(recipe(), plan[1], 1).at("prompt"));
  EXPECT_NE(first.at("prompt"), body(other, plan[0], 0).at("prompt"));
  for (json::value const& token : first.at("prompt").as_array()) {
    EXPECT_GE(token.as_int64(), 125);
    EXPECT_LT(token.as_int64(), 875);
  }
}

TEST(LoadRequests, ASharedPrefixStandsInFrontOfEveryPrompt) {
  LoadPlan const plan = plan_of_lengths(10, 1, 2);
  BodyRecipe with = recipe();
  with.prompts.shared_prefix_tokens = 20;

  json::array const a = body(with, plan[0], 0).at("prompt").as_array(),
                    b = body(with, plan[1], 1).at("prompt").as_array();

  ASSERT_EQ(a.size(), 30u);
  EXPECT_TRUE(std::equal(a.begin(), a.begin() + 20, b.begin()));
  EXPECT_FALSE(std::equal(a.begin() + 20, a.end(), b.begin() + 20));
}

TEST(LoadRequests, PromptsOfATraceBeginAlikeWhereItsBlocksAreTheSame) {
  LoadPlan plan = plan_of_lengths(1200, 1, 2);
  plan[0].work.block_hashes = {7, 8, 9};
  plan[1].work.block_hashes = {7, 8, 10};

  json::array const a = body(recipe(), plan[0], 0).at("prompt").as_array();
  json::array const b = body(recipe(), plan[1], 1).at("prompt").as_array();

  ASSERT_EQ(a.size(), 1200u);
  EXPECT_TRUE(std::equal(a.begin(), a.begin() + 1024, b.begin()));
  EXPECT_FALSE(std::equal(a.begin() + 1024, a.end(), b.begin() + 1024));
}

TEST(LoadRequests, ChatsAskInWords) {
  BodyRecipe chat = recipe();
  chat.route = LoadRoute::chat;
  chat.prompts.form = PromptForm::words;
  chat.extra = {{"temperature", 0.5}};

  json::object const asked = body(chat, plan_of_lengths(5, 1, 1)[0], 0);

  std::string const content(asked.at("messages").at(0).at("content").as_string());
  EXPECT_EQ(std::count(content.begin(), content.end(), ' '), 4);
  EXPECT_EQ(asked.at("temperature"), 0.5);
}

TEST(LoadRequests, ArrivalsHaveTheRateAskedFor) {
  LoadPlan plan = plan_of_lengths(1, 1, 4001);

  set_arrivals(plan, {.rate_per_s = 20, .variation = 1}, 1);
  double const mean_gap_s = double(plan.back().at_us) * 1e-6 / 4000;
  set_arrivals(plan, {.rate_per_s = 20, .variation = 0}, 1);

  EXPECT_NEAR(mean_gap_s, 0.05, 0.004);
  EXPECT_EQ(plan[3].at_us, 150'000);
  set_arrivals(plan, {.rate_per_s = std::numeric_limits<double>::infinity()}, 1);
  EXPECT_EQ(plan.back().at_us, 0);
}

TEST(LoadRequests, RandomLengthsStayWithinTheirRange) {
  RandomStream random(1, 1);
  LengthSampler const sampler = random_lengths({.mean = {.prompt_tokens = 100, .output_tokens = 10}, .spread = 0.5});
  for (int i = 0; i < 1000; ++i) {
    TokenLengths const lengths = sampler(random);
    EXPECT_TRUE(lengths.prompt_tokens >= 50 && lengths.prompt_tokens <= 150);
    EXPECT_TRUE(lengths.output_tokens >= 5 && lengths.output_tokens <= 15);
  }
}

TEST(LoadRequests, CustomPromptsAreTakenInTurn) {
  Lines const lines("{\"prompt\": \"one\"}\n\n{\"body\": {\"prompt\": [1, 2], \"max_tokens\": 7, \"n\": 4}}\n");

  LoadPlan const plan = read_custom_prompts({.path = lines.path(), .count = 3}, LoadRoute::completions);
  LoadPlan const chat = read_custom_prompts({.path = Lines("{\"prompt\": \"hi\"}").path()}, LoadRoute::chat);

  ASSERT_EQ(plan.size(), 3u);
  EXPECT_EQ(body(recipe(), plan[0], 0).at("prompt"), "one");
  EXPECT_EQ(body(recipe(), plan[0], 0).at("max_tokens"), 256);
  EXPECT_EQ(body(recipe(), plan[1], 1).at("max_tokens"), 7);
  EXPECT_EQ(plan[2].fields, plan[0].fields);
  ASSERT_EQ(chat.size(), 1u);
  EXPECT_EQ(chat[0].fields.at("messages").at(0).at("content"), "hi");
}

TEST(LoadRequests, ABadLineIsNamed) {
  Lines const lines("{\"prompt\": \"one\"}\n{\"text\": 1}\n");
  try {
    read_custom_prompts({.path = lines.path()}, LoadRoute::completions);
    FAIL();
  } catch (InputError const& error) {
    EXPECT_NE(std::string(error.what()).find(lines.path() + ":2: has no \"prompt\""), std::string::npos)
        << error.what();
  }
}

/// First token after 100 ms, four more 10 ms apart.
LoadOutcome answered(Microseconds at_us) {
  return {.counted_from_us = at_us,
          .first_us = at_us + 100'000,
          .last_us = at_us + 140'000,
          .gaps_us = {10'000, 10'000, 10'000, 10'000},
          .prompt_tokens = 50,
          .cached_tokens = 20,
          .output_tokens = 5,
          .error = ""};
}

LoadResult three_requests() {
  LoadResult result{.begun_us = 1'000'000, .outcomes = {answered(1'000'000), answered(2'860'000), {}}};
  result.outcomes[1].first_us += 50'000;  // 150 ms to the first token, but the end is where it was
  result.outcomes[2].counted_from_us = 1'500'000;
  result.outcomes[2].error = "status 429: full";
  return result;
}

TEST(LoadReport, CountsWhatWasAnsweredAndMetItsLimits) {
  LoadFigures const figures =
      figures_of(three_requests(), {50, 99}, parse_service_levels({"ttft:120", "tpot:10", "e2el:200"}));

  EXPECT_EQ(figures.asked, 3);
  EXPECT_EQ(figures.completed, 2);
  EXPECT_EQ(figures.good, 1);
  EXPECT_EQ(figures.output_tokens, 10);
  EXPECT_DOUBLE_EQ(figures.seconds, 2);
  EXPECT_DOUBLE_EQ(figures.ttft.mean, 125);
  EXPECT_DOUBLE_EQ(figures.itl.mean, 10);
  EXPECT_NEAR(figures.attained.at("ttft"), 1.0 / 3, 1e-12);
  EXPECT_NEAR(figures.attained.at("tpot"), 2.0 / 3, 1e-12);
  EXPECT_EQ(figures.errors.at("status 429: full"), 1);
}

TEST(LoadReport, TellsTheSameAsJsonAndAsATable) {
  LoadResult const result = three_requests();
  LoadFigures const figures = figures_of(result, {50, 99.9}, parse_service_levels({"ttft:120"}));

  json::object const report = json::parse(load_json(figures,
                                                    {.model = "m",
                                                     .request_rate = std::numeric_limits<double>::infinity(),
                                                     .detail = LoadDescription::Detail::every_request},
                                                    result))
                                  .as_object();
  std::string const table = load_table(figures);

  EXPECT_EQ(report.at("request_rate"), "inf");
  EXPECT_EQ(report.at("completed"), 2);
  EXPECT_DOUBLE_EQ(report.at("output_throughput").to_number<double>(), 5);
  EXPECT_DOUBLE_EQ(report.at("request_goodput").to_number<double>(), 0.5);
  EXPECT_TRUE(report.contains("p99.9_ttft_ms") && report.contains("median_itl_ms"));
  EXPECT_EQ(report.at("requests").as_array().size(), 3u);
  EXPECT_NE(table.find("TTFT           125.00"), std::string::npos) << table;
  EXPECT_NE(table.find("goodput 0.500 requests/s"), std::string::npos) << table;
}

TEST(LoadReport, NothingAnsweredIsAReportToo) {
  LoadResult const result{.begun_us = 5, .outcomes = {{.error = "x"}}};
  LoadFigures const figures = figures_of(result, {50}, {});

  EXPECT_EQ(figures.completed, 0);
  EXPECT_TRUE(std::isfinite(figures.seconds) && figures.seconds > 0);
  EXPECT_FALSE(load_table(figures).empty());
}

TEST(LoadReport, LimitsAreChecked) {
  for (char const* const word : {"ttft", "ttft:", "ttft:x", "ttft:-1", "speed:3", "tpot:0"})
    EXPECT_THROW(parse_service_levels({word}), InputError) << word;
}

}  // namespace
}  // namespace windlass
