// Stages, here of threads, give the bits of one rank; which layers and which KV each rank holds; KV between degrees.
#include <gtest/gtest.h>

#include "src/core/error.hpp"
#include "src/engine/micro_batches.hpp"
#include "src/engine/page_mover.hpp"
#include "tests/thread_ranks.hpp"

namespace windlass {
namespace {

using namespace testing_data;

struct Case {
  char const* model;
  Precision precision;
  int tp, stages, chunk_tokens;
};

class PipelineParallelModel : public testing::TestWithParam<Case> {};

TEST_P(PipelineParallelModel, StagesGiveTheBitsOfOneRank) {
  Case const& test = GetParam();
  Answers const one = answers_of({.model = test.model, .precision = test.precision});

  Answers const staged = answers_of({.model = test.model,
                                     .precision = test.precision,
                                     .tp = test.tp,
                                     .stages = test.stages,
                                     .chunk_tokens = test.chunk_tokens});

  expect_equal(one, staged);
}

INSTANTIATE_TEST_SUITE_P(
    All, PipelineParallelModel,
    testing::Values(Case{"llama-gqa", Precision::fast, 1, 2, 64}, Case{"llama-gqa", Precision::f32, 1, 3, 256},
                    Case{"llama-gqa", Precision::fast, 2, 2, 256},
                    Case{"llama3-rope-tied-bf16", Precision::fast, 1, 4, 256},  // its head is the embedding
                    Case{"gemma3-two-ropes", Precision::fast, 1, 6, 64},        // stages without a layer of one group
                    Case{"gemma2-softcaps", Precision::f32, 2, 2, 256},
                    Case{"qwen2-eight-heads", Precision::fast, 4, 2, 64},
                    Case{"mixtral-4x2", Precision::f32, 2, 3, 256}, Case{"llama-kquants", Precision::fast, 1, 2, 512}),
    [](auto const& info) {
      std::string name = info.param.model;
      std::replace(name.begin(), name.end(), '-', '_');
      return name + "_tp" + std::to_string(info.param.tp) + "pp" + std::to_string(info.param.stages) + "_chunk" +
             std::to_string(info.param.chunk_tokens) + (info.param.precision == Precision::f32 ? "_f32" : "_fast");
    });

ModelSpec spec_of(std::vector<int> const& windows) {
  ModelSpec spec{.hidden = 512, .heads = 8, .kv_heads = 4, .head_dim = 32, .vocab = 1000, .ffn = 1024};
  for (int const window : windows) spec.layers.push_back({.window = window});
  return spec;
}

TEST(PipelineShard, StagesHoldAllLayersOnceAndEvenly) {
  ModelSpec const spec = spec_of(std::vector<int>(30));
  for (int stages = 1; stages <= 30; ++stages) {
    int next = 0;
    for (int stage = 0; stage < stages; ++stage) {
      IndexRange const layers = shard_of(spec, {}, {.stages = stages, .stage = stage}).layers;
      EXPECT_EQ(layers.begin, next);
      EXPECT_GE(layers.size(), 30 / stages);
      EXPECT_LE(layers.size(), 30 / stages + 1);
      next = layers.end;
    }
    EXPECT_EQ(next, 30);
  }
}

TEST(PipelineShard, MoreStagesThanLayersAreRefusedWithThoseThatCanBe) {
  std::string message;
  try {
    shard_of(spec_of({0, 0, 0}), {}, {.stages = 4, .stage = 0});
  } catch (InputError const& error) {
    message = error.what();
  }

  EXPECT_NE(message.find("degree 4 is not possible for this model of 3 layers"), std::string::npos) << message;
  EXPECT_NE(message.find("use one of: 1 to 3"), std::string::npos) << message;
}

TEST(PipelineShard, AStageLoadsItsLayersAlone) {
  ThreadTeam team({.threads = 1});
  auto const load = [&](char const* name, int stages, int stage) {
    return load_network({.path = model_path(name), .pipeline = {.stages = stages, .stage = stage}}, team).weights;
  };
  Weights const whole = load("llama3-rope-tied-bf16", 1, 0), first = load("llama3-rope-tied-bf16", 4, 0);
  Weights const middle = load("llama3-rope-tied-bf16", 4, 1), last = load("llama3-rope-tied-bf16", 4, 3);
  Weights const untied = load("llama-gqa", 3, 2);

  std::size_t const vocabulary = whole.embedding.bytes.size(), layer = (whole.size_bytes() - vocabulary) / 4;
  EXPECT_EQ(first.size_bytes(), vocabulary + layer);
  EXPECT_EQ(middle.size_bytes(), layer);
  EXPECT_EQ(last.size_bytes(), vocabulary + layer);  // tied: both ends of the model have it
  EXPECT_EQ(middle.layers[0].attention_norm.size(), 0u);
  EXPECT_GT(middle.layers[1].attention_norm.size(), 0u);
  EXPECT_EQ(middle.final_norm.size(), 0u);
  EXPECT_EQ(untied.embedding.bytes.size(), 0u);
  EXPECT_GT(untied.head.bytes.size(), 0u);
}

TEST(PageParts, AreLayersOfTheStageAndHeadsOfTheRank) {
  ModelSpec const spec = spec_of({128, 128, 0, 128, 128, 0});  // groups: window {0, 1, 3, 4}, full {2, 5}

  auto const parts = page_parts(spec, {.tp = 2, .stages = 3});

  ASSERT_EQ(parts.size(), 2u);
  ASSERT_EQ(parts[0].size(), 6u);
  EXPECT_EQ(parts[0][0], (PagePart{{0, 2}, {0, 2}}));  // stage 0: layers 0 and 1
  EXPECT_EQ(parts[1][0], (PagePart{{0, 0}, {0, 2}}));  // none of the other group
  EXPECT_EQ(parts[0][3], (PagePart{{2, 3}, {2, 4}}));  // stage 1: layers 2 and 3
  EXPECT_EQ(parts[1][3], (PagePart{{0, 1}, {2, 4}}));
  EXPECT_EQ(parts[0][5], (PagePart{{3, 4}, {2, 4}}));
  EXPECT_EQ(parts[1][5], (PagePart{{1, 2}, {2, 4}}));
}

TEST(PageParts, OfAllRanksAreTheWholePageWhateverTheDegrees) {
  ModelSpec const spec = spec_of({128, 128, 0, 128, 128, 0, 0});
  auto const whole = page_parts(spec, {});
  for (InstanceDegrees const degrees : {InstanceDegrees{1, 7}, {2, 3}, {4, 2}, {8, 1}, {8, 5}}) {
    auto const parts = page_parts(spec, degrees);
    int const copies = std::max(1, degrees.tp / spec.kv_heads);
    for (std::size_t group = 0; group < parts.size(); ++group) {
      int tiles = 0;
      for (PagePart const& part : parts[group]) tiles += part.layers.size() * part.kv_heads.size();
      EXPECT_EQ(tiles, copies * whole[group][0].layers.size() * spec.kv_heads);
    }
  }
}

/// Deals `whole` out to the ranks of an instance and puts it together again.
std::vector<std::byte> there_and_back(ModelSpec const& spec, InstanceDegrees degrees,
                                      std::vector<std::byte> const& whole) {
  constexpr std::uint32_t pages = 3;
  int const ranks = degrees.tp * degrees.stages;
  ThreadInstance instance(degrees.tp, degrees.stages, 40'000);  // several pieces
  KvShape shape{.layers = int(spec.layers.size()), .kv_heads = spec.kv_heads, .head_dim = spec.head_dim};
  PagePool from({.shape = shape, .pages = pages}), to({.shape = shape, .pages = pages});
  std::copy(whole.begin(), whole.end(), from.bytes(PageId{0}).data());  // of page 0 and those behind it
  auto const parts = page_parts(spec, degrees)[0];
  std::vector<std::uint32_t> const own_pages{2, 0, 1}, whole_pages{0, 1, 2};
  auto const rank_main = [&](int rank) {
    auto const collective = instance.collective(rank);
    PagePart const& part = parts[std::size_t(rank)];
    PagePool own({.shape = {.layers = part.layers.size(), .kv_heads = part.kv_heads.size(), .head_dim = spec.head_dim},
                  .pages = pages});
    PageMover mover(spec, *collective);
    PageMove move{.own = &own, .own_pages = own_pages, .whole_pages = whole_pages};
    if (rank == 0) move.whole = &from;
    mover.scatter(move);
    if (rank == 0) move.whole = &to;
    mover.gather(move);
  };
  std::vector<std::jthread> others;
  for (int rank = 1; rank < ranks; ++rank) others.emplace_back(rank_main, rank);
  rank_main(0);
  others.clear();
  return {to.bytes(PageId{0}).data(), to.bytes(PageId{0}).data() + whole.size()};
}

TEST(PageMover, DealsWholePagesOutToLayersAndHeadsAndGathersThemAgain) {
  ModelSpec const spec = spec_of({0, 0, 0, 0, 0});
  std::vector<std::byte> whole(std::size_t(3) * 5 * 2 * 4 * 64 * 32 * sizeof(float));
  for (std::size_t i = 0; i < whole.size(); ++i) whole[i] = std::byte(i * 2654435761u >> 24);

  for (InstanceDegrees const degrees : {InstanceDegrees{1, 2}, {1, 5}, {2, 3}, {4, 2}, {8, 2}})
    EXPECT_TRUE(there_and_back(spec, degrees, whole) == whole) << degrees.tp << " x " << degrees.stages;
}

TEST(MicroBatches, AreAsManyAsKeepStagesBusyAndNoneIsTooSmall) {
  EXPECT_EQ(micro_batches(512, 1), (std::vector<IndexRange>{{0, 512}}));
  EXPECT_EQ(micro_batches(100, 2), (std::vector<IndexRange>{{0, 100}}));
  EXPECT_EQ(micro_batches(130, 2), (std::vector<IndexRange>{{0, 65}, {65, 130}}));
  EXPECT_EQ(micro_batches(4096, 2).size(), 4u);
  EXPECT_EQ(micro_batches(200, 8).size(), 3u);
}

TEST(MicroBatches, ASequenceIsCutAtAnyRow) {
  std::uint32_t const pages[] = {4, 5, 6};
  Batch batch;
  for (int row = 0; row < 150; ++row) {
    batch.tokens.push_back(TokenId(std::uint32_t(row)));
    batch.positions.push_back(row < 10 ? 90 + row : row - 10);
  }
  batch.sequences = {{{.first_row = 0, .rows = 10, .first_position = 90, .pages = pages},
                      {.first_row = 10, .rows = 140, .first_position = 0, .pages = pages}}};

  Batch const first = rows_of(batch, {0, 75}), second = rows_of(batch, {75, 150});

  EXPECT_EQ(first.sequences[0].size(), 2u);
  EXPECT_EQ(first.max_context, 100);
  ASSERT_EQ(second.sequences[0].size(), 1u);
  EXPECT_EQ(second.sequences[0][0].first_row, 0);
  EXPECT_EQ(second.sequences[0][0].rows, 75);
  EXPECT_EQ(second.sequences[0][0].first_position, 65);
  EXPECT_EQ(second.positions.front(), 65);
  EXPECT_EQ(second.first_row, 75);
  EXPECT_EQ(second.max_context, 140);
}

}  // namespace
}  // namespace windlass
