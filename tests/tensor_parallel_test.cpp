// Several ranks, here threads, that hold a shard each give the bits of one rank that holds the whole model.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "src/core/error.hpp"
#include "src/engine/follower.hpp"
#include "src/engine/forward_pass.hpp"
#include "src/model/model_files.hpp"
#include "src/model/shard.hpp"
#include "tests/engine_fixtures.hpp"
#include "tests/thread_collective.hpp"

namespace windlass {
namespace {

using namespace testing_data;

std::string model_path(std::string const& name) {
  std::string const folder = reference_path(name), file = folder + "/model.gguf";
  return std::filesystem::exists(file) ? file : folder;
}

/// Ranks exchange sums in the host's memory.
Operations const* fastest_on_host() {
  auto available = available_operations();
  while (available.back()->memory->space != MemorySpace::host) available.pop_back();
  return available.back();
}

struct Wanted {
  std::string model;
  Precision precision = Precision::fast;
  Operations const* operations = fastest_on_host();
  int degree = 1;
  std::size_t capacity = std::size_t{1} << 20;  ///< small ones cut every exchange into pieces
};

std::vector<Request> requests_for(ModelSpec const& spec) {
  std::vector<Request> requests;
  for (int i = 0; i < 5; ++i) {
    std::vector<TokenId> prompt;
    for (int j = 0; j < 3 + 37 * i; ++j) prompt.push_back(TokenId(std::uint32_t((7 + i * 3 + j * 31) % spec.vocab)));
    Request request = greedy_request(std::uint64_t(i), std::move(prompt), 6);
    request.sampling.logprobs = 5;
    request.sampling.prompt_logprobs = 1;
    request.choices = i == 2 ? 3 : 1;  // their pages are copied
    if (i % 2 == 1) request.sampling.temperature = 0.9;
    requests.push_back(std::move(request));
  }
  return requests;
}

using Answers = std::map<RequestId, Answer>;

Answers run_leader(Engine& engine, std::vector<Request> requests) {
  for (Request& request : requests) engine.submit(std::move(request));
  Answers answers;
  while (!engine.idle()) engine.step();
  for (Answer& answer : engine.take_answers()) answers.emplace(answer.id, std::move(answer));
  engine.end_followers();
  return answers;
}

Answers answers_of(Wanted const& wanted) {
  ThreadGroup group(wanted.degree, wanted.capacity);
  Answers answers;
  auto const rank_main = [&](int rank) {
    ThreadTeam team({.threads = 1});
    ThreadCollective collective(group, rank);
    Model const model = load_network({.path = model_path(wanted.model),
                                      .precision = wanted.precision,
                                      .tensor_parallel = {.degree = wanted.degree, .rank = rank}},
                                     team);
    EngineConfig const config{.precision = wanted.precision, .chunk_tokens = 64, .kv_bytes = std::int64_t{4} << 20};
    if (rank == 0) {
      Engine engine(model, config, *wanted.operations, collective, team);
      answers = run_leader(engine, requests_for(model.spec));
    } else {
      Follower follower(model, config, *wanted.operations, collective, team);
      while (follower.step(10'000'000) == FollowerStep::computed) continue;
    }
  };
  std::vector<std::jthread> others;
  for (int rank = 1; rank < wanted.degree; ++rank) others.emplace_back(rank_main, rank);
  rank_main(0);
  return answers;
}

void expect_equal(TokenLogprob const& a, TokenLogprob const& b) {
  EXPECT_EQ(a.token, b.token);
  EXPECT_EQ(a.logprob, b.logprob);
}

void expect_equal(std::vector<PositionLogprobs> const& a, std::vector<PositionLogprobs> const& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    expect_equal(a[i].chosen, b[i].chosen);
    ASSERT_EQ(a[i].top.size(), b[i].top.size());
    for (std::size_t j = 0; j < a[i].top.size(); ++j) expect_equal(a[i].top[j], b[i].top[j]);
  }
}

/// Tokens and the bits of their log-probabilities, in which every logit of a row has a part.
void expect_equal(Answers const& a, Answers const& b) {
  ASSERT_EQ(a.size(), b.size());
  for (auto const& [id, answer] : a) {
    Answer const& other = b.at(id);
    ASSERT_EQ(answer.error, "");
    ASSERT_EQ(other.error, "");
    expect_equal(answer.prompt_logprobs, other.prompt_logprobs);
    ASSERT_EQ(answer.choices.size(), other.choices.size());
    for (std::size_t i = 0; i < answer.choices.size(); ++i) {
      EXPECT_EQ(answer.choices[i].tokens, other.choices[i].tokens);
      expect_equal(answer.choices[i].logprobs, other.choices[i].logprobs);
    }
  }
}

std::vector<int> degrees_of(std::string const& model) {
  return possible_degrees(open_model({.path = model_path(model)}).blueprint.spec);
}

struct Case {
  char const* model;
  Precision precision;
};

class TensorParallelModel : public testing::TestWithParam<Case> {};

TEST_P(TensorParallelModel, EveryPossibleDegreeGivesTheBitsOfOneRank) {
  Wanted wanted{.model = GetParam().model, .precision = GetParam().precision};
  Answers const one = answers_of(wanted);

  auto const degrees = degrees_of(wanted.model);
  for (int const degree : degrees) {
    if (degree == 1 || degree > 8) continue;
    SCOPED_TRACE(degree);
    wanted.degree = degree;
    expect_equal(one, answers_of(wanted));
  }
  EXPECT_GT(degrees.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(All, TensorParallelModel,
                         testing::Values(Case{"llama-gqa", Precision::f32}, Case{"llama-gqa", Precision::fast},
                                         Case{"llama3-rope-tied-bf16", Precision::fast},
                                         Case{"qwen2-eight-heads", Precision::f32},
                                         Case{"qwen2-eight-heads", Precision::fast},
                                         Case{"qwen3-v5config", Precision::f32},
                                         Case{"qwen3-fp8-blocks", Precision::fast}, Case{"mixtral-4x2", Precision::f32},
                                         Case{"qwen3moe-6x2", Precision::fast}, Case{"gemma2-softcaps", Precision::f32},
                                         Case{"phi3-longrope", Precision::f32}, Case{"llama-kquants", Precision::fast},
                                         Case{"llama-kquants", Precision::f32}),
                         [](auto const& info) {
                           std::string name = info.param.model;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name + (info.param.precision == Precision::f32 ? "_f32" : "_fast");
                         });

TEST(TensorParallel, ExchangesInManyPiecesGiveTheSameBits) {
  Wanted wanted{.model = "mixtral-4x2", .degree = 2};
  Answers const whole = answers_of(wanted);
  wanted.capacity = 16 << 10;

  expect_equal(whole, answers_of(wanted));
}

TEST(TensorParallel, EveryX86LevelAgrees) {
  for (Operations const* const level : available_operations()) {
    if (std::string(level->name).substr(0, 3) != "avx") continue;
    SCOPED_TRACE(level->name);
    Wanted wanted{.model = "llama-kquants", .operations = level};
    Answers const one = answers_of(wanted);
    wanted.degree = 2;
    expect_equal(one, answers_of(wanted));
  }
}

TEST(Shard, AnImpossibleDegreeIsRefusedWithThePossibleOnes) {
  ModelSpec const spec = open_model({.path = model_path("llama-gqa")}).blueprint.spec;

  std::string message;
  try {
    shard_of(spec, {.degree = 13, .rank = 0});
  } catch (InputError const& error) {
    message = error.what();
  }
  EXPECT_NE(message.find("degree 13 is not possible"), std::string::npos) << message;
  EXPECT_NE(message.find("use one of: 1, 2"), std::string::npos) << message;
}

ModelSpec smollm2_shape() {
  ModelSpec spec{.hidden = 576, .heads = 9, .kv_heads = 3, .head_dim = 64, .vocab = 49152, .ffn = 1536};
  spec.layers.resize(30);
  return spec;
}

TEST(Shard, NineHeadsOfThreeAreCutIntoThreeAndUnequallyIntoTwo) {
  ModelSpec const spec = smollm2_shape();

  EXPECT_EQ(shard_of(spec, {.degree = 3, .rank = 1}).heads, (IndexRange{3, 6}));
  EXPECT_EQ(shard_of(spec, {.degree = 3, .rank = 1}).kv_heads, (IndexRange{1, 2}));
  EXPECT_EQ(shard_of(spec, {.degree = 2, .rank = 0}).heads, (IndexRange{0, 3}));
  EXPECT_EQ(shard_of(spec, {.degree = 2, .rank = 1}).heads, (IndexRange{3, 9}));
  EXPECT_EQ(possible_degrees(spec), (std::vector{1, 2, 3}));
}

TEST(Shard, AboveTheNumberOfKvHeadsTheyLieOnSeveralRanks) {
  ModelSpec spec{.hidden = 512, .heads = 8, .kv_heads = 2, .head_dim = 64, .vocab = 1000, .ffn = 1024};
  spec.layers.resize(1);

  EXPECT_EQ(possible_degrees(spec), (std::vector{1, 2, 4, 8}));
  EXPECT_EQ(shard_of(spec, {.degree = 4, .rank = 1}).kv_heads, (IndexRange{0, 1}));
  EXPECT_EQ(shard_of(spec, {.degree = 4, .rank = 2}).kv_heads, (IndexRange{1, 2}));
  EXPECT_EQ(shard_of(spec, {.degree = 8, .rank = 7}).heads, (IndexRange{7, 8}));
}

}  // namespace
}  // namespace windlass
