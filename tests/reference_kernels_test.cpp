#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "kernels/kv_tile.hpp"
#include "kernels/operations.hpp"
#include "src/core/error.hpp"
#include "tests/kernel_fixtures.hpp"

namespace windlass {
namespace {

using namespace testing_data;

Queue const no_team;

TEST(ReferenceRmsNorm, ScalesARowToUnitRootMeanSquare) {
  float const x[] = {3, 4}, weight[] = {1, 2};  // rms = sqrt((9 + 16) / 2) = 3.5355
  float y[2];

  reference::rms_norm({.y = y, .x = x, .weight = weight, .y_stride = 2, .x_stride = 2, .tokens = 1, .hidden = 2},
                      no_team);

  EXPECT_NEAR(y[0], 0.848528f, 1e-6f);
  EXPECT_NEAR(y[1], 2.262742f, 1e-6f);
}

TEST(ReferenceEncode, Int8RoundsToTheScaleOfEachGroupOf32) {
  std::vector<float> x(40, 0);
  x[0] = 127, x[1] = -63.5f, x[2] = 0.5f, x[3] = 1.5f;  // scale 1: halves go to the even code
  x[33] = -2;                                           // scale 2 / 127
  ActivationRows rows(ActivationFormat::int8, 1, 40);

  reference::encode_activations({.out = rows.view, .x = x.data(), .x_stride = 40, .tokens = 1, .columns = 40}, no_team);

  auto const* codes = static_cast<std::int8_t const*>(rows.view.values);
  EXPECT_EQ(std::vector<int>(codes, codes + 4), (std::vector{127, -64, 0, 2}));
  EXPECT_EQ(codes[rows.view.code_index(0, 33)], -127);
  EXPECT_EQ(codes[rows.view.code_index(0, 63)], 0);
  EXPECT_EQ(rows.view.scales[0], 1);
  EXPECT_EQ(rows.view.scales[rows.view.factor_index(0, 1)], 2.0f / 127);
  EXPECT_EQ(rows.view.sums[0], 127 - 64 + 2);
  EXPECT_EQ(rows.view.sums[rows.view.factor_index(0, 1)], -127);
}

TEST(ReferenceEncode, AGroupOfZerosHasScaleZero) {
  std::vector<float> const x(32, 0);
  ActivationRows rows(ActivationFormat::int8, 1, 32);
  rows.view.scales[0] = 7;

  reference::encode_activations({.out = rows.view, .x = x.data(), .x_stride = 32, .tokens = 1, .columns = 32}, no_team);

  EXPECT_EQ(rows.view.scales[0], 0);
  EXPECT_EQ(rows.view.sums[0], 0);
}

TEST(ReferenceMatMul, AddsBiasAndOldValue) {
  AlignedArray<float> panel(32 * 16);  // [k][r]
  panel[0 * 16 + 0] = 1, panel[1 * 16 + 0] = 2;
  panel[0 * 16 + 1] = -3, panel[1 * 16 + 1] = 0.5f;
  PackedMatrix const weight{.rows = 2, .columns = 2, .bytes = std::as_bytes(std::span(panel.data(), panel.size()))};
  ActivationRows x(ActivationFormat::f32, 1, 2);
  static_cast<float*>(x.view.values)[0] = 10;
  static_cast<float*>(x.view.values)[1] = 100;
  AlignedArray<float> y(16), bias(16);
  y[0] = 1000, bias[0] = 0.25f, bias[1] = 0.75f;
  MatMul op{.y = y.data(),
            .y_stride = 16,
            .x = x.view,
            .weight = &weight,
            .bias = bias.data(),
            .slices = Slices::whole(1),
            .tokens = 1};

  op.accumulate = Accumulate::add_to_y;
  reference::matmul(op, no_team);
  EXPECT_EQ(y[0], 1210.25f);

  op.accumulate = Accumulate::store;
  reference::matmul(op, no_team);
  EXPECT_EQ(y[0], 210.25f);
  EXPECT_EQ(y[1], 20.75f);
}

TEST(ReferenceRope, TurnsHalvesAndStoresKAndVWhereTheTableSays) {
  Random random(1);
  std::array const contexts{70};
  PagedSequences kv({.layers = 1, .kv_heads = 1, .head_dim = 4, .format = KvFormat::f32}, contexts, random);
  AlignedArray<float> qkv(12);
  for (int i = 0; i < 12; ++i) qkv[std::size_t(i)] = float(i + 1);
  float const cos_sin[] = {0, 1, 1, 0};  // pair 0 turned by 90 degrees, pair 1 not at all
  SequenceRows const rows{.first_row = 0, .rows = 1, .first_position = 66, .pages = kv.tables[0].data()};

  reference::rope_and_store({.qkv = qkv.data(),
                             .stride = 12,
                             .heads = 1,
                             .rotary_dim = 4,
                             .cos_sin = cos_sin,
                             .kv = kv.view(),
                             .sequences = {&rows, 1}},
                            no_team);

  EXPECT_EQ(std::vector<float>(qkv.begin(), qkv.begin() + 4), (std::vector<float>{-3, 2, 1, 4}));
  auto const* page = reinterpret_cast<float const*>(kv.pool.data() + kv.tables[0][1] * kv.shape.page_bytes());
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(page[i * 64 + 2], (std::array<float, 4>{-7, 6, 5, 8})[std::size_t(i)]);  // K [d][p], position 66 = 64 + 2
    EXPECT_EQ(page[256 + 2 * 4 + i], float(9 + i));                                    // V [p][d]
  }
}

TEST(ReferenceRope, NormsEachHeadFirst) {
  Random random(1);
  std::array const contexts{1};
  PagedSequences kv({.layers = 1, .kv_heads = 1, .head_dim = 2, .format = KvFormat::f32}, contexts, random);
  AlignedArray<float> qkv(6);
  qkv[0] = 3, qkv[1] = 4;
  float const cos_sin[] = {1, 0}, norm[] = {1, 2};
  SequenceRows const rows{.first_row = 0, .rows = 1, .first_position = 0, .pages = kv.tables[0].data()};

  reference::rope_and_store({.qkv = qkv.data(),
                             .stride = 6,
                             .heads = 1,
                             .rotary_dim = 2,
                             .cos_sin = cos_sin,
                             .q_norm = norm,
                             .kv = kv.view(),
                             .sequences = {&rows, 1}},
                            no_team);

  EXPECT_NEAR(qkv[0], 0.848528f, 1e-6f);
  EXPECT_NEAR(qkv[1], 2.262742f, 1e-6f);
}

/// Keys of head_dim 2 are (position is special, 0); values are (position, 1).
PagedSequences attention_example(int context, int special, Random& random) {
  std::array const contexts{context};
  PagedSequences kv({.layers = 2, .kv_heads = 1, .head_dim = 2, .format = KvFormat::f32}, contexts, random);
  for (int p = 0; p < context; ++p) {
    std::byte* page = kv.pool.data() + kv.tables[0][std::size_t(p / 64)] * kv.shape.page_bytes();
    std::byte *k = page + kv.shape.k_offset(1, 0), *v = page + kv.shape.v_offset(1, 0);
    store_element(k, KvFormat::f32, k_element(kv.shape, p % 64, 0), p == special ? 1.0f : 0.0f);
    store_element(v, KvFormat::f32, v_element(kv.shape, p % 64, 0), float(p));
    store_element(v, KvFormat::f32, v_element(kv.shape, p % 64, 1), 1);
  }
  return kv;
}

std::array<float, 2> attend(PagedSequences const& kv, int position, int window, float q_length) {
  SequenceRows const rows{.first_row = 0, .rows = 1, .first_position = position, .pages = kv.tables[0].data()};
  std::array<float, 2> out{}, q{q_length, 5};
  reference::paged_attention({.out = out.data(),
                              .out_stride = 2,
                              .q = q.data(),
                              .q_stride = 2,
                              .kv = kv.view(1),
                              .sequences = {&rows, 1},
                              .heads = 1,
                              .window = window,
                              .scale = 0.5f},
                             no_team);
  return out;
}

TEST(ReferenceAttention, EqualScoresAverageTheVisiblePositions) {
  Random random(1);
  auto const kv = attention_example(200, 1000, random);

  EXPECT_NEAR(attend(kv, 150, 0, 1)[0], 75, 1e-4);    // positions 0 .. 150
  EXPECT_NEAR(attend(kv, 150, 11, 1)[0], 145, 1e-4);  // positions 140 .. 150
  EXPECT_NEAR(attend(kv, 150, 1, 1)[0], 150, 1e-4);   // itself alone
  EXPECT_NEAR(attend(kv, 0, 0, 1)[0], 0, 1e-6);
  EXPECT_NEAR(attend(kv, 150, 0, 1)[1], 1, 1e-6);
}

TEST(ReferenceAttention, WeighsByTheExponentialOfTheScore) {
  Random random(1);
  auto const kv = attention_example(3, 2, random);  // scores 0, 0, 0.5 * 2 * log 3 = log 3: weights 1, 1, 3 of 5

  EXPECT_NEAR(attend(kv, 2, 0, 2 * std::log(3.0f))[0], (0 + 1 + 3 * 2) / 5.0, 1e-6);
}

TEST(ReferenceGatedActivation, MatchesTheFormulas) {
  float const x[] = {1, -2, 10, 20};
  float y[2];
  GatedActivation op{.y = y, .x = x, .y_stride = 2, .x_stride = 4, .up_offset = 2, .tokens = 1, .width = 2};

  reference::gated_activation(op, no_team);
  EXPECT_NEAR(y[0], 10 * 0.7310586f, 1e-5);  // 1 / (1 + 1/e)
  EXPECT_NEAR(y[1], 20 * -0.2384058f, 1e-5);

  op.gate = GateFunction::gelu_tanh;
  reference::gated_activation(op, no_team);
  EXPECT_NEAR(y[0], 10 * 0.841192f, 1e-5);
  EXPECT_NEAR(y[1], 20 * -0.0454023f, 1e-5);
}

TEST(ReferenceEmbedding, CopiesAndScalesRows) {
  AlignedArray<float> panel(32 * 16);
  for (std::size_t r = 0; r < 3; ++r) panel[r] = float(r), panel[16 + r] = float(10 * r);
  PackedMatrix const table{.rows = 3, .columns = 2, .bytes = std::as_bytes(std::span(panel.data(), panel.size()))};
  TokenId const tokens[] = {TokenId{2}, TokenId{0}};
  std::array<float, 4> y{};

  reference::embedding({.y = y.data(), .y_stride = 2, .table = &table, .tokens = tokens, .scale = 3}, no_team);

  EXPECT_EQ(y, (std::array<float, 4>{6, 60, 0, 0}));
}

TEST(ReferenceLogNormalizer, IsTheLogarithmOfTheSumOfExponentials) {
  std::array x{std::log(1.0f), std::log(2.0f), std::log(5.0f)};
  float normalizer = 0;

  reference::log_normalizer({.normalizer = &normalizer, .x = x.data(), .stride = 3, .rows = 1, .vocab = 3}, no_team);

  EXPECT_NEAR(normalizer, std::log(8.0), 1e-6);
}

TEST(ReferenceLogNormalizer, CapsSoftlyInPlace) {
  std::array x{100.0f, 0.0f};
  float normalizer = 0;

  reference::log_normalizer(
      {.normalizer = &normalizer, .x = x.data(), .stride = 2, .rows = 1, .vocab = 2, .soft_cap = 2}, no_team);

  EXPECT_FLOAT_EQ(x[0], 2);
  EXPECT_NEAR(normalizer, std::log(std::exp(2.0) + 1), 1e-6);
}

TEST(ReferenceRouteExperts, TakesTheLargestAndTheLowerIdOfEquals) {
  float const logits[] = {0, std::log(3.0f), 0, std::log(4.0f)};  // softmax over all: 1/9, 3/9, 1/9, 4/9
  std::array<int, 3> experts{};
  std::array<float, 3> weights{};
  RouteExperts op{.experts = experts.data(),
                  .weights = weights.data(),
                  .logits = logits,
                  .stride = 4,
                  .tokens = 1,
                  .num_experts = 4,
                  .chosen = 3};

  op.normalization = RouterNormalization::softmax_all;
  reference::route_experts(op, no_team);
  EXPECT_EQ(experts, (std::array{3, 1, 0}));
  EXPECT_NEAR(weights[0], 4.0 / 9, 1e-6);
  EXPECT_NEAR(weights[2], 1.0 / 9, 1e-6);

  op.normalization = RouterNormalization::softmax_chosen;
  reference::route_experts(op, no_team);
  EXPECT_NEAR(weights[0], 0.5, 1e-6);
  EXPECT_NEAR(weights[1], 3.0 / 8, 1e-6);
}

TEST(KvTile, CanonicalOrderIsPlainAndComesBack) {
  Random random(1);
  for (KvFormat format : {KvFormat::f32, KvFormat::bf16}) {
    KvShape const shape{.layers = 2, .kv_heads = 3, .head_dim = 6, .format = format};
    std::size_t const bytes = shape.page_bytes();
    std::vector<std::byte> page(bytes), canonical(bytes), back(bytes);
    for (std::byte& b : page) b = std::byte(random() & 63);

    copy_block_to_canonical(shape, page.data(), canonical.data());
    copy_block_from_canonical(shape, canonical.data(), back.data());

    EXPECT_EQ(page, back);
    std::byte const *k = page.data() + shape.k_offset(1, 2), *v = page.data() + shape.v_offset(1, 2);
    std::byte const* tiles = canonical.data();
    EXPECT_EQ(load_element(tiles + shape.k_offset(1, 2), format, 11 * 6 + 5),
              load_element(k, format, k_element(shape, 11, 5)));
    EXPECT_EQ(load_element(tiles + shape.v_offset(1, 2), format, 63 * 6 + 4),
              load_element(v, format, v_element(shape, 63, 4)));
  }
}

TEST(Operations, ReferenceIsFirstAndAnUnknownNameIsAnInputErrorThatListsTheKnownOnes) {
  EXPECT_STREQ(available_operations().front()->name, "reference");
  EXPECT_EQ(&operations("auto"), available_operations().back());
  EXPECT_EQ(&operations("reference"), available_operations().front());
  try {
    operations("abacus");
    FAIL();
  } catch (InputError const& error) {
    EXPECT_NE(std::string(error.what()).find("reference"), std::string::npos);
  }
}

}  // namespace
}  // namespace windlass
