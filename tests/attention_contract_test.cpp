/// Rotary embedding and attention over pages: every backend against `reference`.
#include <cmath>
#include <numbers>

#include "kernels/kv_tile.hpp"
#include "src/core/text.hpp"
#include "tests/backend_test.hpp"

namespace windlass {
namespace {

using namespace testing_data;

class RopeContract : public BackendTest {};
class AttentionContract : public BackendTest {};

/// Rows of some sequences: sequence i computes `rows[i]` positions after `context[i]` earlier ones.
struct Batch {
  std::vector<int> context, rows;

  std::vector<int> lengths() const {
    std::vector<int> sums;
    for (std::size_t i = 0; i < rows.size(); ++i) sums.push_back(context[i] + rows[i]);
    return sums;
  }
  int total_rows() const {
    int sum = 0;
    for (int count : rows) sum += count;
    return sum;
  }
  std::vector<SequenceRows> sequences(PagedSequences const& kv) const {
    std::vector<SequenceRows> result;
    int first_row = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      result.push_back(
          {.first_row = first_row, .rows = rows[i], .first_position = context[i], .pages = kv.tables[i].data()});
      first_row += rows[i];
    }
    return result;
  }
};

std::vector<float> values(PagedSequences const& kv) {
  std::vector<float> all;
  std::size_t const count = kv.pool.size() / std::size_t(bytes_per_value(kv.shape.format));
  for (std::size_t i = 0; i < count; ++i) all.push_back(load_element(kv.pool.data(), kv.shape.format, i));
  return all;
}

struct RopeCase {
  KvShape shape;
  int heads, rotary_dim;
  bool with_norms;
};

void expect_rope(Operations const& backend, Queue const& queue, RopeCase const& rope, Batch const& batch) {
  Random random(1);
  KvShape const& shape = rope.shape;
  int const rows = batch.total_rows(), stride = (rope.heads + 2 * shape.kv_heads) * shape.head_dim;
  auto const lengths = batch.lengths();
  Random pages(2), same_pages(2);
  PagedSequences expected_kv(shape, lengths, pages), actual_kv(shape, lengths, same_pages);
  auto const qkv = normal_array(random, std::size_t(rows * stride + 1));
  AlignedArray<float> expected(qkv.size()), actual(qkv.size());
  std::copy(qkv.begin(), qkv.end(), expected.begin());
  std::copy(qkv.begin(), qkv.end(), actual.begin());
  AlignedArray<float> cos_sin(std::size_t(rows * rope.rotary_dim + 1));
  for (int t = 0; t < rows; ++t)
    for (int i = 0; i < rope.rotary_dim / 2; ++i) {
      double const angle = std::uniform_real_distribution<double>(-4, 4)(random);
      cos_sin[std::size_t(t * rope.rotary_dim + i)] = float(std::cos(angle));
      cos_sin[std::size_t(t * rope.rotary_dim + rope.rotary_dim / 2 + i)] = float(std::sin(angle));
    }
  auto const q_norm = normal_array(random, std::size_t(shape.head_dim)),
             k_norm = normal_array(random, std::size_t(shape.head_dim));
  auto const expected_rows = batch.sequences(expected_kv), actual_rows = batch.sequences(actual_kv);
  RopeAndStore op{.qkv = expected.data(),
                  .stride = stride,
                  .heads = rope.heads,
                  .rotary_dim = rope.rotary_dim,
                  .cos_sin = cos_sin.data(),
                  .q_norm = rope.with_norms ? q_norm.data() : nullptr,
                  .k_norm = rope.with_norms ? k_norm.data() : nullptr,
                  .norm_eps = 1e-6f,
                  .kv = expected_kv.view(shape.layers - 1),
                  .sequences = expected_rows};

  reference::rope_and_store(op, queue);
  op.qkv = actual.data(), op.kv = actual_kv.view(shape.layers - 1), op.sequences = actual_rows;
  backend.rope_and_store(op, queue);

  for (int t = 0; t < rows; ++t)
    for (int i = 0; i < rope.heads * shape.head_dim; ++i)
      ASSERT_NEAR(actual[std::size_t(t * stride + i)], expected[std::size_t(t * stride + i)], 2e-5) << t << ", " << i;
  auto const stored = values(actual_kv), wanted = values(expected_kv);
  for (std::size_t i = 0; i < stored.size(); ++i) {
    float const error = std::abs(stored[i] - wanted[i]), ulp_bf16 = std::abs(wanted[i]) / 128;
    if (error > (wanted[i] == 0 ? 0 : 2e-5f + (shape.format == KvFormat::bf16 ? ulp_bf16 : 0)))
      FAIL() << "page element " << i << ": " << stored[i] << " instead of " << wanted[i];
  }
}

TEST_P(RopeContract, MatchesReference) {
  Batch const batches[] = {{}, {{0}, {1}}, {{63}, {2}}, {{5, 0, 200}, {1, 67, 3}}};
  for (KvFormat format : {KvFormat::f32, KvFormat::bf16})
    for (int head_dim : {12, 16, 64, 80, 100, 128, 256})
      for (bool with_norms : {false, true})
        for (Batch const& batch : batches) {
          SCOPED_TRACE(text("head_dim ", head_dim, ", norms ", with_norms, ", rows ", batch.total_rows()));
          KvShape const shape{.layers = 2, .kv_heads = 2, .head_dim = head_dim, .format = format};
          expect_rope(backend(), queue(), {shape, 6, head_dim, with_norms}, batch);
          expect_rope(backend(), queue(), {shape, 2, head_dim / 2, with_norms}, batch);
          if (HasFatalFailure()) return;
        }
}

struct AttentionCase {
  KvShape shape;
  int heads, window;
  float soft_cap;
};

constexpr float largest_value = 1.75f;  // sqrt(3): unit variance

void fill_pages(PagedSequences& kv, Random& random) {
  for (std::size_t i = 0; i < kv.pool.size() / std::size_t(bytes_per_value(kv.shape.format)); ++i)
    store_element(kv.pool.data(), kv.shape.format, i,
                  float(std::int16_t(random())) * (std::numbers::sqrt3_v<float> / 32768));
}

void expect_attention(Operations const& backend, Queue const& queue, AttentionCase const& attention,
                      Batch const& batch) {
  Random random(1);
  KvShape const& shape = attention.shape;
  auto const lengths = batch.lengths();
  PagedSequences kv(shape, lengths, random);
  fill_pages(kv, random);
  int const rows = batch.total_rows(), width = attention.heads * shape.head_dim;
  auto const q = normal_array(random, std::size_t(rows * (width + 16) + 1), 2);
  Output expected(rows, width), actual(rows, width);
  auto const sequences = batch.sequences(kv);
  int const longest = lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
  AlignedBytes workspace(attention_workspace_bytes(shape.head_dim, longest, queue.team->size()));
  PagedAttention op{.out = expected.data(),
                    .out_stride = expected.stride(),
                    .q = q.data(),
                    .q_stride = width + 16,
                    .kv = kv.view(shape.layers - 1),
                    .sequences = sequences,
                    .heads = attention.heads,
                    .window = attention.window,
                    .scale = 1 / std::sqrt(float(shape.head_dim)),
                    .soft_cap = attention.soft_cap,
                    .workspace = {workspace.data(), workspace.size()}};

  reference::paged_attention(op, queue);
  op.out = actual.data();
  backend.paged_attention(op, queue);

  bool const is_f32 = shape.format == KvFormat::f32;
  double squares = 0;
  for (int t = 0; t < rows; ++t)
    for (int i = 0; i < width; ++i) {
      double const error = double(actual.at(t, i)) - double(expected.at(t, i));
      ASSERT_LE(std::abs(error), double(largest_value) * (is_f32 ? 1e-5 : 0x1p-8)) << t << ", " << i;
      squares += error * error;
    }
  if (rows > 0) {
    EXPECT_LE(std::sqrt(squares / (rows * width)), double(largest_value) * (is_f32 ? 1e-6 : 0x1p-13));
  }
  EXPECT_TRUE(actual.margin_is_untouched());
}

TEST_P(AttentionContract, MatchesReferenceForChunksAndDecodeTokens) {
  Batch const batches[] = {
      {},                            // empty
      {{0}, {1}},                    // one row, one position
      {{63, 64, 127}, {1, 1, 1}},    // decode at block borders
      {{0, 40, 0}, {66, 30, 1}},     // chunks, alone and after a prefix
      {{1100, 3, 2047}, {1, 9, 2}},  // across spans
  };
  for (KvFormat format : {KvFormat::f32, KvFormat::bf16})
    for (auto const& [head_dim, heads, kv_heads] :
         {std::tuple{64, 3, 1}, {16, 4, 4}, {128, 6, 2}, {24, 4, 2}, {100, 2, 1}})
      for (Batch const& batch : batches) {
        SCOPED_TRACE(text("bf16 ", int(format), ", head_dim ", head_dim, ", rows ", batch.total_rows()));
        KvShape const shape{.layers = 2, .kv_heads = kv_heads, .head_dim = head_dim, .format = format};
        expect_attention(backend(), queue(), {shape, heads, 0, 0}, batch);
        if (HasFatalFailure()) return;
      }
}

TEST_P(AttentionContract, MatchesReferenceWithWindowsSoftCapsAndUnusualHeads) {
  Batch const batch{{0, 1030, 60}, {9, 1, 7}};
  for (KvFormat format : {KvFormat::f32, KvFormat::bf16})
    for (int window : {0, 1, 64, 65, 1000})
      for (float soft_cap : {0.0f, 2.0f})
        for (auto const& [head_dim, heads, kv_heads] : {std::tuple{80, 2, 2}, {256, 3, 1}, {96, 2, 1}}) {
          SCOPED_TRACE(text("bf16 ", int(format), ", window ", window, ", cap ", soft_cap, ", head_dim ", head_dim));
          KvShape const shape{.layers = 1, .kv_heads = kv_heads, .head_dim = head_dim, .format = format};
          expect_attention(backend(), queue(), {shape, heads, window, soft_cap}, batch);
          if (HasFatalFailure()) return;
        }
}

INSTANTIATE_FOR_EVERY_BACKEND(RopeContract);
INSTANTIATE_FOR_EVERY_BACKEND(AttentionContract);

}  // namespace
}  // namespace windlass
