// A request's answer has the same bits whatever ran beside it, however its prompt was cut, on however many threads,
// whether it was preempted, and whether its beginning came from the prefix index.
#include <gtest/gtest.h>

#include <bit>
#include <memory>
#include <random>

#include "tests/engine_fixtures.hpp"

namespace windlass {
namespace {

using namespace testing_data;

constexpr int request_count = 32, vocabulary = 200;
constexpr int whole_prompt = 4096;
#ifdef NDEBUG
constexpr int batches[] = {1, 7, 32}, chunks[] = {16, 128, whole_prompt}, thread_counts[] = {1, 2};
#else  // under sanitizers
constexpr int batches[] = {7, 32}, chunks[] = {16}, thread_counts[] = {2};
#endif

std::vector<TokenId> random_tokens(std::mt19937& random, std::size_t count) {
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens) token = TokenId(std::uint32_t(3 + random() % (vocabulary - 3)));
  return tokens;
}

/// Prompts of 1 to 330 tokens, two thirds of which begin with one of two shared prefixes; greedy and sampled, with
/// penalties, several choices, prompt log-probabilities.
std::vector<Request> mixed_requests() {
  std::mt19937 random(7);
  std::vector<TokenId> const prefixes[] = {random_tokens(random, 130), random_tokens(random, 200), {}};
  std::vector<Request> requests;
  for (std::uint64_t id = 0; id < request_count; ++id) {
    Request request{.id = RequestId{id}, .prompt = prefixes[id % 3]};
    auto const tail = random_tokens(random, 1 + random() % 130);
    request.prompt.insert(request.prompt.end(), tail.begin(), tail.end());
    request.sampling = {.temperature = id % 2 ? 0.9 : 0.0,
                        .seed = id,
                        .max_tokens = 4 + int(id % 5) * 8,
                        .ignore_eos = id % 4 != 0,
                        .logprobs = 3};
    if (id % 5 == 0) request.choices = 2;
    if (id % 7 == 0) request.sampling.prompt_logprobs = 2;
    if (id % 6 == 1) request.sampling.repetition_penalty = 1.3;
    if (id % 6 == 3) request.sampling.top_p = 0.8;
    requests.push_back(std::move(request));
  }
  return requests;
}

std::string bits(std::vector<PositionLogprobs> const& logprobs) {
  std::string text;
  auto const append = [&text](TokenLogprob const& entry) {
    text +=
        std::to_string(number(entry.token)) + ":" + std::to_string(std::bit_cast<std::uint32_t>(entry.logprob)) + " ";
  };
  for (PositionLogprobs const& position : logprobs) {
    append(position.chosen);
    for (TokenLogprob const& entry : position.top) append(entry);
    text += "| ";
  }
  return text;
}

/// All that a client sees of an answer, log-probabilities as bit patterns.
std::string bits(Answer const& answer) {
  std::string text = answer.error + bits(answer.prompt_logprobs);
  for (Choice const& choice : answer.choices) {
    for (TokenId const token : choice.tokens) text += std::to_string(number(token)) + " ";
    text += choice.text + std::to_string(int(choice.finish)) + bits(choice.logprobs);
  }
  return text;
}

struct Case {
  std::string model;
  Precision precision;
};

class Repeatability : public testing::TestWithParam<Case> {
 protected:
  static std::string path() {
    std::string const folder = reference_path(GetParam().model);
    return GetParam().model == "llama-kquants" ? folder + "/model.gguf" : folder;
  }

  std::map<RequestId, Answer> run(int threads, EngineConfig const& config, EngineCounters& counters) {
    auto& runner = runners_[threads];
    if (!runner) runner = std::make_unique<Runner>(path(), GetParam().precision, operations("auto"), threads);
    std::int64_t const large = runner->config.kv_bytes;
    runner->config = config;
    runner->config.precision = GetParam().precision;
    if (config.kv_bytes == 0) runner->config.kv_bytes = large;
    auto answers = runner->run(mixed_requests());
    runner->config.kv_bytes = large;
    counters = runner->counters;
    return answers;
  }

  std::map<int, std::unique_ptr<Runner>> runners_;
};

/// A pool in which two or three of the longest requests fit.
std::int64_t small_pool_bytes(EngineCounters const& undisturbed, std::int64_t large_bytes) {
  return large_bytes / undisturbed.pages * 14;
}

TEST_P(Repeatability, BatchChunkThreadsPreemptionAndPrefixReuseLeaveEveryBitAsItWas) {
  EngineCounters alone_counters;
  auto const alone =
      run(1, {.max_sequences = 1, .chunk_tokens = whole_prompt, .prefix_reuse = PrefixReuse::off}, alone_counters);
  ASSERT_EQ(alone.size(), std::size_t(request_count));
  for (auto const& [id, answer] : alone) ASSERT_EQ(answer.error, "");
  std::int64_t const small = small_pool_bytes(alone_counters, std::int64_t{64} << 20);

  std::int64_t preemptions = 0, cached_tokens = 0;
  for (int const sequences : batches)
    for (int const chunk : chunks)
      for (int const threads : thread_counts)
        for (std::int64_t const kv_bytes : {std::int64_t{0}, small})
          for (PrefixReuse const reuse : {PrefixReuse::off, PrefixReuse::on}) {
            EngineCounters counters;
            auto const answers =
                run(threads,
                    {.max_sequences = sequences, .chunk_tokens = chunk, .kv_bytes = kv_bytes, .prefix_reuse = reuse},
                    counters);
            preemptions += counters.preemptions;
            cached_tokens += counters.cached_tokens;
            for (auto const& [id, answer] : alone)
              ASSERT_EQ(bits(answers.at(id)), bits(answer))
                  << "request " << number(id) << ", " << sequences << " sequences, chunks of " << chunk << ", "
                  << threads << " threads, " << kv_bytes << " KV bytes, reuse " << int(reuse);
          }
  EXPECT_GT(preemptions, 0);
  EXPECT_GT(cached_tokens, 0);
}

INSTANTIATE_TEST_SUITE_P(Models, Repeatability,
                         testing::Values(Case{"llama-kquants", Precision::fast},
                                         Case{"mistral-window128", Precision::f32},
                                         Case{"qwen3moe-6x2", Precision::fast},
                                         Case{"gemma2-softcaps", Precision::fast}),
                         [](auto const& info) {
                           std::string name = info.param.model;
                           std::replace(name.begin(), name.end(), '-', '_');
                           bool const on_device = operations("auto").memory->space == MemorySpace::device;
                           if (on_device) name += "_cuda";  // ctest -L gpu runs these
                           return name;
                         });

}  // namespace
}  // namespace windlass
