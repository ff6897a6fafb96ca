// Requests that go on in another engine, from a folder, have the tokens of requests that were never stopped.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "src/serve/checkpointer.hpp"
#include "tests/engine_fixtures.hpp"
#include "tests/equal_answers.hpp"

namespace windlass {
namespace {

namespace fs = std::filesystem;

using namespace testing_data;

class EngineSnapshots : public testing::TestWithParam<char const*> {
 protected:
  EngineSnapshots() {
    char name[] = "/tmp/windlass-snapshot-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~EngineSnapshots() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  /// An engine with its folder: one run of a job.
  struct Run {
    Run(EngineSnapshots& test, PrefixReuse reuse)
        : engine(test.make_engine(reuse)),
          folder({.path = test.folder_}),
          identity{.model = "m",
                   .tokenizer = "t",
                   .arithmetic = "a",
                   .kv_format = "f32",
                   .groups = checkpoint_groups(*engine, test.runner_.model.spec)},
          checkpointer(*engine, folder, identity, {.on_stored = [this](std::uint64_t number, StoredPart const& part) {
            folder.publish(
                {.identity = identity, .number = number, .parts = {part.name}, .part_digests = {part.written.digest}});
          }}) {
      if (auto loaded = folder.load(identity, ArithmeticRule::must_agree)) checkpointer.take(std::move(*loaded));
    }
    void save() {
      ASSERT_TRUE(checkpointer.begin(folder.next_number(), CheckpointHaste::at_once));
      auto const outcome = checkpointer.wait();
      ASSERT_TRUE(outcome);
      EXPECT_EQ(outcome->problem, "");
    }
    std::map<RequestId, Answer> finish() {
      std::map<RequestId, Answer> answers;
      for (int steps = 0; steps < 2000; ++steps) {
        for (Answer& answer : engine->take_answers()) answers.emplace(answer.id, std::move(answer));
        if (engine->idle()) break;
        engine->step();
      }
      return answers;
    }

    std::unique_ptr<Engine> engine;
    CheckpointFolder folder;
    CheckpointIdentity identity;
    Checkpointer checkpointer;
  };

  std::unique_ptr<Engine> make_engine(PrefixReuse reuse) {
    EngineConfig config = runner_.config;
    config.kv_bytes = std::int64_t{16} << 20;
    config.chunk_tokens = 48;
    config.prefix_reuse = reuse;
    return std::make_unique<Engine>(runner_.model, config, runner_.operations, runner_.collective, runner_.team);
  }

  std::vector<Request> requests() const {
    int const vocab = runner_.model.spec.vocab;
    std::vector<Request> all;
    for (int const tokens : {1, 5, 63, 64, 65, 200}) {
      Request request = testing_data::greedy_request(std::uint64_t(tokens), prompt_of(tokens, vocab), 9);
      request.sampling.temperature = tokens % 2 ? 0.8 : 0;
      request.sampling.seed = std::uint64_t(tokens);
      request.sampling.frequency_penalty = 0.5;
      request.sampling.logprobs = 2;
      if (tokens == 65) request.sampling.prompt_logprobs = 1;
      if (tokens == 200 || tokens == 64) request.choices = 3;
      all.push_back(std::move(request));
    }
    return all;
  }

  static std::int64_t computed_tokens(Engine const& engine) {
    return engine.counters().prompt_tokens + engine.counters().generated_tokens;
  }

  testing_data::Runner runner_{testing_data::reference_path(GetParam()), Precision::f32, operations("auto"), 1};
  std::string folder_;
};

TEST_P(EngineSnapshots, ARunThatStopsAtAnyStepIsContinuedWithTheSameAnswersAndNothingIsComputedTwice) {
  auto const stayed = runner_.run(requests());
  for (PrefixReuse const reuse : {PrefixReuse::on, PrefixReuse::off})
    for (int const steps : {1, 3, 6, 9, 12}) {
      fs::remove_all(folder_);
      std::map<RequestId, Answer> answers;
      std::int64_t computed = 0;
      {
        Run first(*this, reuse);
        for (Request& request : requests()) first.checkpointer.submit(std::move(request));
        for (int step = 0; step < steps; ++step) first.engine->step();
        first.save();
        for (Answer& answer : first.engine->take_answers()) answers.emplace(answer.id, std::move(answer));
        computed = computed_tokens(*first.engine);
      }
      Run second(*this, reuse);
      for (Request& request : requests())
        if (!answers.contains(request.id)) second.checkpointer.submit(std::move(request));
      answers.merge(second.finish());

      ASSERT_EQ(answers.size(), stayed.size()) << steps;
      for (auto const& [id, answer] : answers) expect_equal(answer, stayed.at(id));
      EXPECT_EQ(second.checkpointer.counts().recomputed_tokens, 0) << steps;
      EXPECT_EQ(second.checkpointer.saved_requests(), 0u);
      auto const undisturbed = make_engine(reuse);
      for (Request& request : requests()) undisturbed->submit(std::move(request));
      while (!undisturbed->idle()) undisturbed->step();
      EXPECT_LE(computed + computed_tokens(*second.engine), computed_tokens(*undisturbed)) << steps;
    }
}

TEST_P(EngineSnapshots, TheEngineGoesOnWhileItsSnapshotIsWritten) {
  auto const stayed = runner_.run(requests());
  {
    Run first(*this, PrefixReuse::on);
    for (Request& request : requests()) first.checkpointer.submit(std::move(request));
    for (int step = 0; step < 5; ++step) first.engine->step();
    ASSERT_TRUE(first.checkpointer.begin(first.folder.next_number(), CheckpointHaste::background));
    EXPECT_FALSE(first.checkpointer.begin(7, CheckpointHaste::background));
    auto const answers = first.finish();  // writes to pages that follow those of the snapshot
    for (auto const& [id, answer] : answers) expect_equal(answer, stayed.at(id));
    EXPECT_EQ(first.checkpointer.wait()->problem, "");
  }
  Run second(*this, PrefixReuse::on);
  for (Request& request : requests()) second.checkpointer.submit(std::move(request));
  auto const answers = second.finish();
  EXPECT_GT(second.checkpointer.counts().restored_requests, 2);
  EXPECT_EQ(second.checkpointer.counts().recomputed_tokens, 0);
  ASSERT_EQ(answers.size(), stayed.size());
  for (auto const& [id, answer] : answers) expect_equal(answer, stayed.at(id));
}

TEST_P(EngineSnapshots, DamagedPagesAreComputedAgainAndCounted) {
  auto const stayed = runner_.run(requests());
  {
    Run first(*this, PrefixReuse::on);
    for (Request& request : requests()) first.checkpointer.submit(std::move(request));
    for (int step = 0; step < 9; ++step) first.engine->step();
    first.save();
  }
  std::int64_t damaged = 0;
  for (auto const& entry : fs::directory_iterator(folder_)) {
    if (entry.path().filename().string().rfind("part-", 0) != 0) continue;
    UserBlock const block = verified_user_block(entry.path());
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    for (std::uint64_t row = 1; row < block.pages[0].rows; row += 3, ++damaged) {
      file.seekp(std::streamoff(block.pages[0].offset + row * block.pages[0].page_bytes + 17));
      file.put('\x5a');
    }
  }
  ASSERT_GT(damaged, 0);

  Run second(*this, PrefixReuse::on);
  for (Request& request : requests()) second.checkpointer.submit(std::move(request));
  auto const answers = second.finish();

  EXPECT_GT(second.checkpointer.counts().damaged_pages, 0);
  EXPECT_GT(second.checkpointer.counts().recomputed_tokens, 0);
  ASSERT_EQ(answers.size(), stayed.size());
  for (auto const& [id, answer] : answers) expect_equal(answer, stayed.at(id));
}

TEST_P(EngineSnapshots, RestoredPrefixesServeCacheHits) {
  auto const prompt = prompt_of(200, runner_.model.spec.vocab);
  auto const stayed = runner_.run({testing_data::greedy_request(1, prompt, 3)});
  {
    Run first(*this, PrefixReuse::on);
    first.engine->submit(testing_data::greedy_request(1, prompt, 3));
    first.finish();
    first.save();
  }
  for (int run = 0; run < 2; ++run) {  // the second time from a checkpoint that carries it on
    Run later(*this, PrefixReuse::on);
    if (run == 0) {
      later.save();
      continue;
    }
    later.checkpointer.submit(testing_data::greedy_request(1, prompt, 3));
    auto const answers = later.finish();
    expect_equal(answers.at(RequestId{1}), stayed.at(RequestId{1}));
    EXPECT_EQ(answers.at(RequestId{1}).cached_tokens, 192);
    EXPECT_EQ(later.engine->counters().prompt_tokens, 8);
  }
}

TEST_P(EngineSnapshots, RequestsThatNobodyAskedForYetStayInTheNextCheckpoint) {
  auto const stayed = runner_.run(requests());
  {
    Run first(*this, PrefixReuse::on);
    for (Request& request : requests()) first.checkpointer.submit(std::move(request));
    for (int step = 0; step < 9; ++step) first.engine->step();
    first.save();
  }
  {
    Run second(*this, PrefixReuse::on);
    second.save();  // ended before it was asked anything
    EXPECT_EQ(second.checkpointer.counts().new_pages, 0);
  }
  Run third(*this, PrefixReuse::on);
  for (Request& request : requests()) third.checkpointer.submit(std::move(request));
  auto const answers = third.finish();

  EXPECT_GT(third.checkpointer.counts().restored_requests, 2);
  EXPECT_EQ(third.checkpointer.counts().recomputed_tokens, 0);
  for (auto const& [id, answer] : answers) expect_equal(answer, stayed.at(id));
}

std::string model_name(testing::TestParamInfo<char const*> const& info) {
  std::string name = info.param;
  std::erase(name, '-');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, EngineSnapshots, testing::Values("llama-gqa", "mistral-window128", "gemma2-softcaps"),
                         model_name);

}  // namespace
}  // namespace windlass
