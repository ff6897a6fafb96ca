/// Matrix products and the encoding of their activations: every backend against the contract.
#include <cmath>

#include "src/core/text.hpp"
#include "tests/backend_test.hpp"

namespace windlass {
namespace {

using namespace testing_data;

class EncodeContract : public BackendTest {};
class MatMulContract : public BackendTest {};

TEST_P(EncodeContract, GivesTheSameCodesAsReference) {
  Random random(1);
  for (ActivationFormat format : {ActivationFormat::f32, ActivationFormat::bf16, ActivationFormat::int8})
    for (auto const& [tokens, columns] : {std::pair{0, 64}, {1, 1}, {3, 37}, {5, 576}, {33, 1504}}) {
      int const x_stride = columns + 3;
      auto x = normal_array(random, std::size_t(tokens * x_stride + 1), 3);
      if (tokens > 1) std::fill_n(x.data(), std::min(columns, 32), 0.0f);  // a group of zeros
      ActivationRows expected(format, tokens, columns), actual(format, tokens, columns);
      EncodeActivations op{
          .out = expected.view, .x = x.data(), .x_stride = x_stride, .tokens = tokens, .columns = columns};

      reference::encode_activations(op, queue());
      op.out = actual.view;
      backend().encode_activations(op, queue());

      EXPECT_EQ(actual.values(), expected.values()) << tokens << " x " << columns;
      EXPECT_TRUE(same_bits(actual.scales(), expected.scales()));
      EXPECT_TRUE(same_bits(actual.scaled_sums(), expected.scaled_sums()));
      EXPECT_EQ(actual.sums(), expected.sums());
    }
}

TEST_P(EncodeContract, Int8RoundsHalvesToTheEvenCode) {
  AlignedArray<float> x(32);
  for (int i = 0; i < 31; ++i) x[std::size_t(i)] = float(i) + 0.5f;
  x[31] = -127;
  ActivationRows rows(ActivationFormat::int8, 1, 32);

  backend().encode_activations({.out = rows.view, .x = x.data(), .x_stride = 32, .tokens = 1, .columns = 32}, queue());

  auto const* codes = static_cast<std::int8_t const*>(rows.view.values);
  EXPECT_EQ(std::vector<int>(codes, codes + 5), (std::vector{0, 2, 2, 4, 4}));
  EXPECT_EQ(codes[31], -127);
}

struct Product {
  MatrixShape weight;
  int tokens = 0, slices = 1;
  bool with_bias = false;
  Accumulate accumulate = Accumulate::store;
};

/// Sum of |x w| per output, what the tolerance is relative to.
double magnitude(Activations const& x, PackedMatrix const& weight, int token, int row) {
  double sum = 0;
  for (int k = 0; k < weight.columns; ++k) {
    std::int64_t const at = token * x.stride + k;
    double value = 0;
    if (x.format == ActivationFormat::f32) value = double(static_cast<float const*>(x.values)[at]);
    if (x.format == ActivationFormat::bf16)
      value = double(bf16_to_float(static_cast<std::uint16_t const*>(x.values)[at]));
    if (x.format == ActivationFormat::int8)
      value = double(x.scales[x.factor_index(token, k / group_size)]) *
              static_cast<std::int8_t const*>(x.values)[x.code_index(token, k)];
    sum += std::abs(value * double(weight_at(weight, row, k)));
  }
  return sum;
}

void expect_product(Operations const& backend, Queue const& queue, Product const& product, Precision precision) {
  Random random(7);
  auto const weight = random_matrix(product.weight, random);
  auto const x = normal_array(random, std::size_t(product.tokens * weight.columns + 1));
  ActivationRows rows(activation_format(weight.format, precision, backend.bf16_products), product.tokens,
                      weight.columns);
  reference::encode_activations({.out = rows.view,
                                 .x = x.data(),
                                 .x_stride = weight.columns,
                                 .tokens = product.tokens,
                                 .columns = weight.columns},
                                queue);
  auto const bias = normal_array(random, std::size_t(16 * weight.panels()));
  Output expected(product.tokens, weight.rows), actual(product.tokens, weight.rows);
  for (int t = 0; t < product.tokens; ++t)
    for (int n = 0; n < weight.rows; ++n) expected.at(t, n) = actual.at(t, n) = normal(random);
  MatMul op{.y = expected.data(),
            .y_stride = expected.stride(),
            .x = rows.view,
            .weight = &weight,
            .bias = product.with_bias ? bias.data() : nullptr,
            .slices = Slices::even(weight.groups(), product.slices),
            .tokens = product.tokens,
            .accumulate = product.accumulate};

  reference::matmul(op, queue);
  op.y = actual.data();
  backend.matmul(op, queue);

  for (int t = 0; t < product.tokens; ++t)
    for (int n = 0; n < weight.rows; ++n)
      ASSERT_NEAR(actual.at(t, n), expected.at(t, n), 1e-5 * (magnitude(rows.view, weight, t, n) + 1))
          << t << ", " << n;
  EXPECT_TRUE(actual.margin_is_untouched(16 * weight.panels() - weight.rows));
}

constexpr MatrixShape formats[] = {
    {WeightFormat::f32, ScaleType::none},       {WeightFormat::f16, ScaleType::none},
    {WeightFormat::bf16, ScaleType::none},      {WeightFormat::q8, ScaleType::f16},
    {WeightFormat::q8, ScaleType::f32},         {WeightFormat::q8, ScaleType::f32, 16},
    {WeightFormat::q8_min, ScaleType::f16},     {WeightFormat::q8_min, ScaleType::f32},
    {WeightFormat::q4, ScaleType::f16},         {WeightFormat::q4, ScaleType::f32},
    {WeightFormat::q4_min, ScaleType::f16},     {WeightFormat::q4_min, ScaleType::f32},
    {WeightFormat::q8_min, ScaleType::f32, 16},
};

TEST_P(MatMulContract, MatchesReferenceInEveryFormatAndShape) {
  for (MatrixShape shape : formats)
    for (Precision precision : {Precision::f32, Precision::fast})
      for (auto const& [rows, columns] : {std::pair{1, 32}, {37, 160}, {16, 1056}})
        for (int tokens : {0, 1, 7, 19}) {
          shape.rows = rows, shape.columns = columns;
          SCOPED_TRACE(text(name(shape.format), " scale group ", shape.scale_group, ", precision ", int(precision),
                            ", ", tokens, " x ", rows, " x ", columns));
          expect_product(backend(), queue(), {.weight = shape, .tokens = tokens, .slices = columns > 160 ? 5 : 1},
                         precision);
          if (HasFatalFailure()) return;
        }
}

TEST_P(MatMulContract, MatchesReferenceForEveryNumberOfTokensAroundATile) {
  for (MatrixShape shape : {MatrixShape{WeightFormat::f32, ScaleType::none},
                            {WeightFormat::bf16, ScaleType::none},
                            {WeightFormat::q8, ScaleType::f16},
                            {WeightFormat::q4_min, ScaleType::f16}})
    for (int tokens : {2, 3, 4, 5, 6, 8, 9, 15, 16, 17, 259}) {
      shape.rows = 55, shape.columns = 64;
      SCOPED_TRACE(text(name(shape.format), ", ", tokens, " tokens"));
      expect_product(backend(), queue(), {.weight = shape, .tokens = tokens}, Precision::fast);
      if (HasFatalFailure()) return;
    }
}

TEST_P(MatMulContract, ColumnsNeedNotFillAGroup) {
  for (WeightFormat format : {WeightFormat::f32, WeightFormat::f16, WeightFormat::bf16})
    for (Precision precision : {Precision::f32, Precision::fast})
      expect_product(backend(), queue(), {.weight = {.format = format, .rows = 19, .columns = 45}, .tokens = 5},
                     precision);
}

TEST_P(MatMulContract, AddsBiasAndTheOldValueWithAnyNumberOfSlices) {
  for (WeightFormat format : {WeightFormat::f32, WeightFormat::bf16, WeightFormat::q8, WeightFormat::q4_min})
    for (int slices : {1, 2, 3, 7, 18})
      for (bool with_bias : {false, true})
        for (Accumulate accumulate : {Accumulate::store, Accumulate::add_to_y}) {
          ScaleType const scale_type = is_quantized(format) ? ScaleType::f16 : ScaleType::none;
          expect_product(backend(), queue(),
                         {.weight = {.format = format, .scale_type = scale_type, .rows = 33, .columns = 576},
                          .tokens = 3,
                          .slices = slices,
                          .with_bias = with_bias,
                          .accumulate = accumulate},
                         Precision::fast);
        }
}

TEST_P(MatMulContract, ExtremeCodesDoNotSaturate) {
  // All codes at their limits: pairs of products overflow 16 bits, sums must not.
  MatrixShape const shape{WeightFormat::q8, ScaleType::f32, 32, 16, 64};
  Random random(1);
  auto const weight = random_matrix(shape, random);
  std::vector<std::byte> bytes(weight.bytes.begin(), weight.bytes.end());
  PackedMatrix extreme = weight;
  AlignedBytes copy(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i)
    copy.data()[i] = i % weight.group_bytes() < 512 ? std::byte{255} : bytes[i];
  extreme.bytes = {copy.data(), bytes.size()};
  AlignedArray<float> const x(64);
  std::fill(x.begin(), x.end(), 1.0f);
  ActivationRows rows(ActivationFormat::int8, 1, 64);
  reference::encode_activations({.out = rows.view, .x = x.data(), .x_stride = 64, .tokens = 1, .columns = 64}, queue());
  Output expected(1, 16), actual(1, 16);
  MatMul op{.y = expected.data(),
            .y_stride = expected.stride(),
            .x = rows.view,
            .weight = &extreme,
            .slices = Slices::whole(2),
            .tokens = 1};

  reference::matmul(op, queue());
  op.y = actual.data();
  backend().matmul(op, queue());

  for (int n = 0; n < 16; ++n) EXPECT_NEAR(actual.at(0, n), expected.at(0, n), 1e-5 * double(expected.at(0, n)));
}

INSTANTIATE_FOR_EVERY_BACKEND(EncodeContract);
INSTANTIATE_FOR_EVERY_BACKEND(MatMulContract);

}  // namespace
}  // namespace windlass
