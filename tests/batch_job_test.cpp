#include "src/serve/batch_job.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <map>

#include "src/core/text.hpp"
#include "src/serve/report.hpp"
#include "src/store/journal.hpp"
#include "tests/fake_tokenizer.hpp"

namespace windlass {
namespace {

namespace json = boost::json;

/// Answers the oldest request at each step with its prompt's length. Prompts that begin with 'F' fail for the run's
/// sake, with 'I' for the input's.
class FakeRunner final : public RequestRunner {
 public:
  void submit(Request request) override {
    most_open = std::max(most_open, int(open_.size()) + 1);
    open_.push_back(std::move(request));
  }
  void cancel(RequestId id) override {
    ++cancelled;
    std::erase_if(open_, [&](Request const& request) { return request.id == id; });
  }
  bool idle() const override { return open_.empty(); }
  void step() override {
    if (open_.empty() || frozen) return;
    Request const request = std::move(open_.front());
    open_.erase(open_.begin());
    Answer answer{.id = request.id, .submitted_us = 1, .first_token_us = 2, .finished_us = 3};
    char const first = char(number(request.prompt.back()));
    if (first == 'F' || first == 'I') {
      answer.error = "fake failure";
      answer.error_is_input = first == 'I';
    }
    for (int choice = 0; choice < request.choices; ++choice)
      answer.choices.push_back({.tokens = {request.prompt.back()}, .text = text(request.prompt.size())});
    answers_.push_back(std::move(answer));
  }
  std::vector<Answer> take_answers() override { return std::exchange(answers_, {}); }
  EngineCounters counters() const override { return {}; }

  bool frozen = false;  ///< no step finishes anything
  int most_open = 0, cancelled = 0;

 private:
  std::vector<Request> open_;
  std::vector<Answer> answers_;
};

class BatchJobTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "windlass-batch-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(char const* name) const { return (folder_ / name).string(); }
  void write_input(std::vector<std::string> const& lines) const {
    std::ofstream out(path("in.jsonl"));
    for (std::string const& line : lines) out << line << "\n";
  }
  static std::string line(std::string const& id, std::string const& prompt) {
    return text(R"({"custom_id":")", id, R"(","method":"POST","url":"/v1/completions","body":{"prompt":)", prompt,
                "}}");
  }

  /// One run over the input; `drain_after` steps a drain is asked for.
  BatchEnd run(int drain_after = -1) {
    Journal journal({.path = path("out.jsonl"), .commit_interval_us = 100});
    journal.begin({.model_identity = "m", .arithmetic = {"a"}});
    RequestRules const rules{
        .model_name = "fake", .tokenizer = &tokenizer_, .chat_problem = "none", .vocab = 258, .max_model_len = 100};
    BatchInput input(open_input(path("in.jsonl")), rules, journal.finished(), {.max_line_bytes = 1000});
    ledger_ = std::make_unique<BatchLedger>();
    AnswerWriter writer(journal.writer(), *ledger_, &tokenizer_);
    int steps = 0;
    BatchJob job({.runner = runner_,
                  .input = input,
                  .writer = writer,
                  .drain_wanted = [&] { return drain_after >= 0 && steps >= drain_after; },
                  .on_progress = [&] { ++steps; }},
                 {.max_requests_running = 3, .drain_us = drain_us_});
    BatchEnd const end = job.run();
    writer.close();
    run_errors_ = job.run_errors();
    return end;
  }

  /// custom_id -> records
  std::map<std::string, std::vector<json::value>> records() const {
    std::map<std::string, std::vector<json::value>> all;
    std::ifstream in(path("out.jsonl"));
    for (std::string one; std::getline(in, one);) {
      json::value record = json::parse(one);
      all[std::string(record.at("custom_id").as_string())].push_back(record);
    }
    return all;
  }
  static std::string code_of(json::value const& record) {
    return std::string(record.at("response").at("body").at("error").at("code").as_string());
  }

  std::filesystem::path folder_;
  FakeTokenizer tokenizer_;
  FakeRunner runner_;
  std::unique_ptr<BatchLedger> ledger_;
  std::int64_t run_errors_ = 0;
  Microseconds drain_us_ = 60'000'000;
};

TEST_F(BatchJobTest, EveryLineHasExactlyOneRecordAndBadOnesCostNobodyElse) {
  write_input({line("a", "\"x\""), "not JSON", line("b", "[1,2,3]"), "", line("a", "\"again\""), line("c", "5"),
               line("d", "\"" + std::string(2000, 'y') + "\""), line("e", "[\"p\",\"q\"]"), line("f", "\"I\"")});

  EXPECT_EQ(run(), BatchEnd::done);

  auto const all = records();
  EXPECT_EQ(all.size(), 7U);
  EXPECT_EQ(all.at("a").size(), 2U);  // the answer, and the error record of the duplicate
  EXPECT_EQ(code_of(all.at("line-2").at(0)), "invalid_json");
  EXPECT_EQ(code_of(all.at("line-7").at(0)), "line_too_long");
  EXPECT_EQ(code_of(all.at("c").at(0)), "invalid_value");
  EXPECT_EQ(code_of(all.at("f").at(0)), "invalid_value");
  EXPECT_EQ(all.at("b").at(0).at("response").at("body").at("choices").at(0).at("text"), "3");
  EXPECT_EQ(all.at("e").at(0).at("response").at("body").at("choices").as_array().size(), 2U);
  EXPECT_EQ(ledger_->counts().answered, 3);
  EXPECT_EQ(ledger_->counts().input_errors, 5);
  EXPECT_EQ(ledger_->counts().generated_tokens, 4);
}

TEST_F(BatchJobTest, ARunAfterADoneOneWritesNothing) {
  write_input({line("a", "\"x\""), line("a", "\"x\""), "bad"});
  run();
  auto const before = records();

  EXPECT_EQ(run(), BatchEnd::done);

  EXPECT_EQ(records(), before);
  EXPECT_EQ(ledger_->counts().records(), 0);
}

TEST_F(BatchJobTest, ErrorsOfTheRunAreTriedAgain) {
  write_input({line("a", "\"xF\""), line("b", "\"x\"")});
  EXPECT_EQ(run(), BatchEnd::again);
  EXPECT_EQ(run_errors_, 1);
  EXPECT_FALSE(records().contains("a"));

  write_input({line("a", "\"x\""), line("b", "\"x\"")});
  EXPECT_EQ(run(), BatchEnd::done);
  EXPECT_EQ(records().at("a").size(), 1U);
  EXPECT_EQ(records().at("b").size(), 1U);
}

TEST_F(BatchJobTest, OneFailedPromptFailsItsRequestOnce) {
  write_input({line("a", "[\"x\",\"I\",\"y\"]")});
  EXPECT_EQ(run(), BatchEnd::done);
  EXPECT_EQ(records().at("a").size(), 1U);
  EXPECT_EQ(code_of(records().at("a").at(0)), "invalid_value");
}

TEST_F(BatchJobTest, ADrainFinishesWhatRunsAndTheNextRunTheRest) {
  std::vector<std::string> lines;
  for (int i = 0; i < 50; ++i) lines.push_back(line(text("r", i), "\"x\""));
  write_input(lines);

  EXPECT_EQ(run(5), BatchEnd::again);
  std::size_t const first = records().size();
  EXPECT_GE(first, 3U);
  EXPECT_LT(first, 50U);
  EXPECT_EQ(runner_.cancelled, 0);
  EXPECT_LE(runner_.most_open, 3);

  EXPECT_EQ(run(), BatchEnd::done);
  EXPECT_EQ(records().size(), 50U);
  for (auto const& [id, found] : records()) EXPECT_EQ(found.size(), 1U) << id;
}

TEST_F(BatchJobTest, ADrainGivesUpAfterItsGraceTime) {
  write_input({line("a", "\"x\"")});
  runner_.frozen = true;
  drain_us_ = 20'000;

  EXPECT_EQ(run(2), BatchEnd::again);

  EXPECT_EQ(runner_.cancelled, 1);
  EXPECT_TRUE(records().empty());
}

TEST_F(BatchJobTest, ADrainEndsAWaitForAPipe) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  KeySet const finished;
  RequestRules const rules{.vocab = 258, .max_model_len = 100};

  {
    BatchInput input(open_input(text("/dev/fd/", ends[0])), rules, finished, {});
    EXPECT_FALSE(input.next(std::chrono::microseconds(1000)));
  }  // joins the reading thread although nothing was written and the other end is open

  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(KvReport, PromptsThatAnotherRankContinuedWithoutTheirKvAreAProblem) {
  KvReport const none{.copying = "window", .failed = 7};
  KvReport const copied{.copied = {.requests = 1}, .copying = "window"};
  KvReport const shared{.shared = {.requests = 1}, .copying = "window"};

  EXPECT_EQ(missing_kv(none, 0), "");  // nothing was handed over
  EXPECT_NE(missing_kv(none, 7).find("no KV moved although"), std::string::npos);
  EXPECT_EQ(missing_kv(copied, 7), "");
  EXPECT_EQ(missing_kv(shared, 7), "");
}

TEST(KvReport, SaysWhichWayTheKvWentAndHowFast) {
  KvReport const kv{.shared = {.requests = 4, .pages = 8, .bytes = 4 << 20, .work_us = 100},
                    .copied = {.requests = 2, .pages = 4, .bytes = 2'000'000, .work_us = 1000},
                    .copying = "message",
                    .link_gb_per_s = 4,
                    .failed = 1};

  EXPECT_EQ(
      kv_text(kv),
      "4 requests, 8 pages, 4.0 MiB by shared: not a byte was copied, 25 us of work a request (copies would move at "
      "4 GB/s); 2 requests, 4 pages, 1.9 MiB by message at 2 GB/s, 50 % of the 4 GB/s that MPI moves on this link; 1 "
      "prompts were computed again");
}

TEST(LatencyHistogram, PercentilesAreRightWithinOnePercent) {
  LatencyHistogram histogram;
  for (int i = 1; i <= 1000; ++i) histogram.add(i * 1000.0);
  EXPECT_NEAR(histogram.percentile_us(50), 500'000, 5'000);
  EXPECT_NEAR(histogram.percentile_us(99), 990'000, 9'900);
  EXPECT_EQ(LatencyHistogram().percentile_us(50), 0);
}

}  // namespace
}  // namespace windlass
