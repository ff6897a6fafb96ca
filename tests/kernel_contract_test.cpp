/// Operations on rows: every backend against `reference`, at the tolerances of the headers.
#include <cmath>

#include "tests/backend_test.hpp"

namespace windlass {
namespace {

using namespace testing_data;

class RmsNormContract : public BackendTest {};
class GatedActivationContract : public BackendTest {};
class EmbeddingContract : public BackendTest {};
class LogNormalizerContract : public BackendTest {};
class ExpertsContract : public BackendTest {};

void fill(Output& output, int rows, int columns, Random& random) {
  for (int t = 0; t < rows; ++t)
    for (int c = 0; c < columns; ++c) output.at(t, c) = normal(random);
}

TEST_P(RmsNormContract, MatchesReference) {
  Random random(1);
  for (auto const& [tokens, hidden] : {std::pair{0, 64}, {1, 1}, {3, 257}, {33, 64}, {2, 8192}})
    for (Accumulate accumulate : {Accumulate::store, Accumulate::add_to_y}) {
      auto const x = normal_array(random, std::size_t(tokens * hidden + 1), 3);
      auto const weight = normal_array(random, std::size_t(hidden));
      Output expected(tokens, hidden), actual(tokens, hidden);
      Random same(2), again(2);
      fill(expected, tokens, hidden, same);
      fill(actual, tokens, hidden, again);
      RmsNorm op{.y = expected.data(),
                 .x = x.data(),
                 .weight = weight.data(),
                 .y_stride = expected.stride(),
                 .x_stride = hidden,
                 .tokens = tokens,
                 .hidden = hidden,
                 .eps = 1e-5f,
                 .accumulate = accumulate};

      reference::rms_norm(op, queue());
      op.y = actual.data();
      backend().rms_norm(op, queue());

      for (int t = 0; t < tokens; ++t)
        for (int h = 0; h < hidden; ++h) {
          double const added = accumulate == Accumulate::add_to_y ? 1 : 0;  // the sum may cancel
          ASSERT_NEAR(actual.at(t, h), expected.at(t, h), 1e-5 * (std::abs(double(expected.at(t, h))) + added));
        }
      EXPECT_TRUE(actual.margin_is_untouched());
    }
}

TEST_P(RmsNormContract, WorksInPlaceAndOnZeros) {
  AlignedArray<float> x(64), weight(64);
  x[0] = 3, x[1] = 4;
  std::fill(weight.begin(), weight.end(), 2.0f);

  backend().rms_norm({.y = x.data(),
                      .x = x.data(),
                      .weight = weight.data(),
                      .y_stride = 32,
                      .x_stride = 32,
                      .tokens = 2,
                      .hidden = 32,
                      .eps = 1e-6f},
                     queue());

  EXPECT_NEAR(x[0], 2 * 3 / std::sqrt(25.0 / 32 + 1e-6), 1e-5);
  for (std::size_t i = 32; i < 64; ++i) EXPECT_EQ(x[i], 0);
}

TEST_P(GatedActivationContract, MatchesReference) {
  Random random(3);
  for (auto const& [tokens, width] : {std::pair{0, 64}, {1, 1}, {3, 257}, {33, 96}, {2, 4096}})
    for (GateFunction gate : {GateFunction::silu, GateFunction::gelu_tanh})
      for (float spread : {1.0f, 30.0f}) {
        int const up_offset = round_up(width, 16), x_stride = up_offset + width;
        auto const x = normal_array(random, std::size_t(tokens * x_stride + 1), spread);
        Output expected(tokens, width), actual(tokens, width);
        GatedActivation op{.y = expected.data(),
                           .x = x.data(),
                           .y_stride = expected.stride(),
                           .x_stride = x_stride,
                           .up_offset = up_offset,
                           .tokens = tokens,
                           .width = width,
                           .gate = gate};

        reference::gated_activation(op, queue());
        op.y = actual.data();
        backend().gated_activation(op, queue());

        for (int t = 0; t < tokens; ++t)
          for (int i = 0; i < width; ++i) {
            double const product =
                double(x[std::size_t(t * x_stride + i)]) * double(x[std::size_t(t * x_stride + up_offset + i)]);
            ASSERT_NEAR(actual.at(t, i), expected.at(t, i), 1e-6 * std::abs(product) + 1e-30) << t << ", " << i;
          }
        EXPECT_TRUE(actual.margin_is_untouched());
      }
}

TEST_P(GatedActivationContract, WorksInPlace) {
  constexpr int tokens = 3, width = 37, up_offset = 48, stride = up_offset + width;
  Random random(9);
  auto const x = normal_array(random, tokens * stride);
  Output apart(tokens, width);
  GatedActivation op{.y = apart.data(),
                     .x = x.data(),
                     .y_stride = apart.stride(),
                     .x_stride = stride,
                     .up_offset = up_offset,
                     .tokens = tokens,
                     .width = width};
  backend().gated_activation(op, queue());
  op.y = x.data();
  op.y_stride = stride;

  backend().gated_activation(op, queue());

  for (int t = 0; t < tokens; ++t)
    EXPECT_TRUE(same_bits({x.data() + t * stride, width}, {apart.data() + t * apart.stride(), width}));
}

TEST_P(EmbeddingContract, GivesTheExactRows) {
  constexpr MatrixShape shapes[] = {
      {WeightFormat::f32, ScaleType::none, 32, 37, 45},  {WeightFormat::f16, ScaleType::none, 32, 37, 45},
      {WeightFormat::bf16, ScaleType::none, 32, 37, 45}, {WeightFormat::q8, ScaleType::f16, 32, 37, 64},
      {WeightFormat::q8, ScaleType::f32, 16, 37, 64},    {WeightFormat::q8_min, ScaleType::f32, 32, 37, 64},
      {WeightFormat::q4, ScaleType::f16, 32, 37, 64},    {WeightFormat::q4_min, ScaleType::f16, 32, 37, 576},
  };
  Random random(4);
  for (MatrixShape const& shape : shapes)
    for (int tokens : {0, 1, 19})
      for (float scale : {1.0f, 24.0f}) {
        auto const table = random_matrix(shape, random);
        std::vector<TokenId> ids;
        for (int t = 0; t < tokens; ++t) ids.push_back(TokenId(t == 0 ? 36 : random() % 37));
        Output y(tokens, shape.columns);

        backend().embedding({.y = y.data(), .y_stride = y.stride(), .table = &table, .tokens = ids, .scale = scale},
                            queue());

        for (int t = 0; t < tokens; ++t)
          for (int h = 0; h < shape.columns; ++h)
            ASSERT_EQ(y.at(t, h), scale * weight_at(table, int(number(ids[std::size_t(t)])), h));
        EXPECT_TRUE(y.margin_is_untouched());
      }
}

TEST_P(LogNormalizerContract, MatchesReferenceAndCapsInPlace) {
  Random random(5);
  for (auto const& [rows, vocab] : {std::pair{0, 64}, {1, 1}, {3, 257}, {2, 49153}})
    for (float soft_cap : {0.0f, 30.0f}) {
      Output expected(rows, vocab), actual(rows, vocab);
      Random same(6), again(6);
      fill(expected, rows, vocab, same);
      fill(actual, rows, vocab, again);
      if (rows > 0) expected.at(0, 0) = actual.at(0, 0) = 200;
      AlignedArray<float> normalizer(3), actual_normalizer(3);
      LogNormalizer op{.normalizer = normalizer.data(),
                       .x = expected.data(),
                       .stride = expected.stride(),
                       .rows = rows,
                       .vocab = vocab,
                       .soft_cap = soft_cap};

      reference::log_normalizer(op, queue());
      op.normalizer = actual_normalizer.data();
      op.x = actual.data();
      backend().log_normalizer(op, queue());

      for (int t = 0; t < rows; ++t) {
        EXPECT_NEAR(actual_normalizer[std::size_t(t)], normalizer[std::size_t(t)], 1e-5);
        for (int v = 0; v < vocab; ++v) ASSERT_NEAR(actual.at(t, v), expected.at(t, v), soft_cap > 0 ? 2e-5 : 0);
      }
      EXPECT_TRUE(actual.margin_is_untouched());
    }
}

TEST_P(ExpertsContract, RoutesLikeReference) {
  Random random(7);
  for (auto const& [tokens, num_experts, chosen] :
       {std::tuple{0, 8, 2}, {1, 1, 1}, {5, 8, 2}, {33, 128, 8}, {3, 17, 17}})
    for (auto normalization : {RouterNormalization::softmax_all, RouterNormalization::softmax_chosen}) {
      auto const logits = normal_array(random, std::size_t(tokens * (num_experts + 1) + 1));
      for (float& x : logits) x = std::round(x * 4) / 4;  // ties
      AlignedArray<int> expected(std::size_t(tokens * chosen)), actual(expected.size());
      std::fill(actual.begin(), actual.end(), -1);
      AlignedArray<float> weights(std::size_t(tokens * chosen)), actual_weights(weights.size());
      RouteExperts op{.experts = expected.data(),
                      .weights = weights.data(),
                      .logits = logits.data(),
                      .stride = num_experts + 1,
                      .tokens = tokens,
                      .num_experts = num_experts,
                      .chosen = chosen,
                      .normalization = normalization};

      reference::route_experts(op, queue());
      op.experts = actual.data();
      op.weights = actual_weights.data();
      backend().route_experts(op, queue());

      EXPECT_TRUE(std::equal(actual.begin(), actual.end(), expected.begin(), expected.end()));
      for (std::size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(actual_weights[i], weights[i], 1e-6);
    }
}

TEST_P(ExpertsContract, GathersAndCombinesRowsExactly) {
  Random random(8);
  for (auto const& [count, width] : {std::pair{0, 64}, {1, 1}, {3, 257}, {7, 64}}) {
    auto const x = normal_array(random, std::size_t(10 * width)),
               rows_of_one = normal_array(random, std::size_t(7 * width));
    auto const weights = normal_array(random, 7);
    std::vector<int> const rows{9, 0, 4, 3, 8, 1, 2};
    Output gathered(count, width), sum(10, width);
    fill(sum, 10, width, random);
    std::vector<float> const before(sum.data(), sum.data() + 10 * sum.stride());

    backend().gather_rows({.y = gathered.data(),
                           .x = x.data(),
                           .y_stride = gathered.stride(),
                           .x_stride = width,
                           .rows = rows.data(),
                           .count = count,
                           .width = width},
                          queue());
    backend().combine_expert({.y = sum.data(),
                              .x = rows_of_one.data(),
                              .y_stride = sum.stride(),
                              .x_stride = width,
                              .rows = rows.data(),
                              .weights = weights.data(),
                              .count = count,
                              .width = width},
                             queue());

    for (int i = 0; i < count; ++i)
      for (int k = 0; k < width; ++k) {
        int const row = rows[std::size_t(i)];
        ASSERT_EQ(gathered.at(i, k), x[std::size_t(row * width + k)]);
        ASSERT_EQ(sum.at(row, k), std::fma(weights[std::size_t(i)], rows_of_one[std::size_t(i * width + k)],
                                           before[std::size_t(row * sum.stride() + k)]));
      }
    for (int row = 0; row < 10; ++row)
      if (std::find(rows.begin(), rows.begin() + count, row) == rows.begin() + count) {
        ASSERT_EQ(sum.at(row, 0), before[std::size_t(row * sum.stride())]);
      }
    EXPECT_TRUE(gathered.margin_is_untouched() && sum.margin_is_untouched());
  }
}

class SumPartialsContract : public BackendTest {};

/// ((a + b) + c) + bias + y, where c is the sum of a cut subtree.
TEST_P(SumPartialsContract, AddsInTheTreesOrderThenBiasThenY) {
  Random random(9);
  for (auto const& [tokens, width] : {std::pair{0, 64}, {1, 1}, {3, 257}, {7, 64}}) {
    auto const stride = std::int64_t(width) + 3;
    std::vector<AlignedArray<float>> parts;
    for (int root = 0; root < 3; ++root) parts.push_back(normal_array(random, std::size_t(7 * stride)));
    auto const bias = normal_array(random, std::size_t(width));
    std::vector<float const*> const partials{parts[0].data(), parts[1].data(), parts[2].data()};
    std::vector<int> const merges{0, 1, 1};
    Output sum(tokens, width);
    fill(sum, tokens, width, random);
    std::vector<float> const before(sum.data(), sum.data() + tokens * sum.stride());

    backend().sum_partials({.y = sum.data(),
                            .y_stride = sum.stride(),
                            .partials = partials,
                            .merges = merges,
                            .stride = stride,
                            .bias = bias.data(),
                            .tokens = tokens,
                            .width = width,
                            .accumulate = Accumulate::add_to_y},
                           queue());

    for (int t = 0; t < tokens; ++t)
      for (int n = 0; n < width; ++n) {
        auto const at = std::size_t(t * stride + n);
        float const tree = (parts[0][at] + parts[1][at]) + parts[2][at];
        ASSERT_EQ(sum.at(t, n), before[std::size_t(t * sum.stride() + n)] + (tree + bias[std::size_t(n)]));
      }
    EXPECT_TRUE(sum.margin_is_untouched());
  }
}

INSTANTIATE_FOR_EVERY_BACKEND(RmsNormContract);
INSTANTIATE_FOR_EVERY_BACKEND(GatedActivationContract);
INSTANTIATE_FOR_EVERY_BACKEND(EmbeddingContract);
INSTANTIATE_FOR_EVERY_BACKEND(LogNormalizerContract);
INSTANTIATE_FOR_EVERY_BACKEND(ExpertsContract);
INSTANTIATE_FOR_EVERY_BACKEND(SumPartialsContract);

}  // namespace
}  // namespace windlass
