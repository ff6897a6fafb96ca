// Several ranks, here threads, that hold a shard each give the bits of one rank that holds the whole model.
#include <gtest/gtest.h>

#include "src/core/error.hpp"
#include "tests/thread_ranks.hpp"

namespace windlass {
namespace {

using namespace testing_data;

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
    wanted.tp = degree;
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
  Wanted wanted{.model = "mixtral-4x2", .tp = 2};
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
    wanted.tp = 2;
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
