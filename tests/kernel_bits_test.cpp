/// The canonical order of sums: a row has the same bits alone and in any batch, with any number of threads, at any
/// place.
#include <cmath>

#include "kernels/kv_tile.hpp"
#include "src/core/text.hpp"
#include "tests/backend_test.hpp"

namespace windlass {
namespace {

using namespace testing_data;

class KernelBits : public BackendTest {
 protected:
  /// Runs the same work with queues of 1, 2 and 3 threads.
  template <class Work>
  void with_teams(Work const& work) {
    for (int threads : {1, 2, 3}) {
      ThreadTeam team({.threads = threads, .cpus = {}, .spin_us = 0});
      SCOPED_TRACE(text(threads, " threads"));
      work(Queue{&team});
    }
  }
};

std::vector<float> row_of(Output const& output, int row, int columns) {
  return {&output.at(row, 0), &output.at(row, 0) + columns};
}

/// The first `tokens` rows of x through encoding and product.
Output product(Operations const& backend, Queue const& queue, PackedMatrix const& weight, std::span<float const> x) {
  int const tokens = int(x.size()) / weight.columns;
  ActivationRows rows(activation_format(weight.format, Precision::fast, backend.bf16_products), tokens, weight.columns);
  backend.encode_activations(
      {.out = rows.view, .x = x.data(), .x_stride = weight.columns, .tokens = tokens, .columns = weight.columns},
      queue);
  Output y(tokens, weight.rows);
  backend.matmul({.y = y.data(),
                  .y_stride = y.stride(),
                  .x = rows.view,
                  .weight = &weight,
                  .slices = Slices::even(weight.groups(), 5),
                  .tokens = tokens},
                 queue);
  return y;
}

TEST_P(KernelBits, ProductsDoNotDependOnTheBatchOrTheThreads) {
  constexpr MatrixShape shapes[] = {
      {WeightFormat::f32, ScaleType::none, 32, 70, 352},  {WeightFormat::f16, ScaleType::none, 32, 70, 352},
      {WeightFormat::bf16, ScaleType::none, 32, 70, 352}, {WeightFormat::q8, ScaleType::f16, 32, 70, 352},
      {WeightFormat::q8, ScaleType::f32, 16, 70, 352},    {WeightFormat::q8_min, ScaleType::f32, 32, 70, 352},
      {WeightFormat::q4, ScaleType::f16, 32, 70, 352},    {WeightFormat::q4_min, ScaleType::f16, 32, 70, 352},
  };
  Random random(1);
  for (MatrixShape const& shape : shapes) {
    SCOPED_TRACE(name(shape.format));
    auto const weight = random_matrix(shape, random);
    auto const x = normal_array(random, std::size_t(29 * shape.columns));
    auto const width = std::size_t(shape.columns);
    with_teams([&](Queue const& threads) {
      auto const together = product(backend(), threads, weight, {x.data(), 29 * width});
      for (std::size_t t : {0u, 1u, 7u, 15u, 28u}) {
        auto const alone = product(backend(), queue(), weight, {x.data() + t * width, width});
        EXPECT_TRUE(same_bits(row_of(together, int(t), shape.rows), row_of(alone, 0, shape.rows))) << "row " << t;
      }
    });
  }
}

TEST_P(KernelBits, RowOperationsDoNotDependOnTheBatchOrTheThreads) {
  constexpr int tokens = 37, width = 1000;
  Random random(2);
  auto const x = normal_array(random, tokens * 2 * width), weight = normal_array(random, width);
  auto const run = [&](Queue const& threads, int first, int count) {
    Output normed(count, width), gated(count, width), logits(count, width);
    std::vector<float> normalizers(static_cast<std::size_t>(count));
    float const* rows = x.data() + first * 2 * width;
    backend().rms_norm({.y = normed.data(),
                        .x = rows,
                        .weight = weight.data(),
                        .y_stride = normed.stride(),
                        .x_stride = 2 * width,
                        .tokens = count,
                        .hidden = width,
                        .eps = 1e-5f},
                       threads);
    backend().gated_activation({.y = gated.data(),
                                .x = rows,
                                .y_stride = gated.stride(),
                                .x_stride = 2 * width,
                                .up_offset = width,
                                .tokens = count,
                                .width = width},
                               threads);
    for (int t = 0; t < count; ++t) std::copy_n(rows + t * 2 * width, width, &logits.at(t, 0));
    backend().log_normalizer({.normalizer = normalizers.data(),
                              .x = logits.data(),
                              .stride = logits.stride(),
                              .rows = count,
                              .vocab = width,
                              .soft_cap = 20},
                             threads);
    std::vector<std::vector<float>> result;
    for (int t = 0; t < count; ++t) {
      result.push_back({normalizers[std::size_t(t)]});
      for (Output const* output : {&normed, &gated, &logits}) {
        auto const row = row_of(*output, t, width);
        result.back().insert(result.back().end(), row.begin(), row.end());
      }
    }
    return result;
  };
  with_teams([&](Queue const& threads) {
    auto const together = run(threads, 0, tokens);
    for (int t : {0, 1, 17, 36}) EXPECT_TRUE(same_bits(together[std::size_t(t)], run(queue(), t, 1)[0])) << "row " << t;
  });
}

/// Several sequences of known q, k, v, whose rows are computed in steps.
class AttentionRun {
 public:
  AttentionRun(KvShape const& shape, std::vector<int> lengths, std::uint64_t place)
      : shape_(shape), lengths_(std::move(lengths)), random_(place), kv_(shape, lengths_, random_) {
    for (int length : lengths_) outputs_.emplace_back(std::size_t(length));
  }

  static constexpr int heads = 4;

  /// Computes positions [first, end) of some sequences in one batch; must be called in ascending order.
  struct Step {
    int sequence, first, end;
  };
  void step(Operations const& backend, Queue const& queue, std::vector<Step> const& steps, int window) {
    int const d = shape_.head_dim, stride = (heads + 2 * shape_.kv_heads) * d;
    std::vector<SequenceRows> sequences;
    int rows = 0;
    for (Step const& s : steps) {
      sequences.push_back({.first_row = rows,
                           .rows = s.end - s.first,
                           .first_position = s.first,
                           .pages = kv_.tables[std::size_t(s.sequence)].data()});
      rows += s.end - s.first;
    }
    AlignedArray<float> qkv(std::size_t(rows * stride)), cos_sin(std::size_t(rows * d));
    int row = 0;
    for (Step const& s : steps)
      for (int position = s.first; position < s.end; ++position, ++row) {
        Random of_position(std::uint64_t(s.sequence * 100'000 + position));
        for (int i = 0; i < stride; ++i)
          qkv[std::size_t(row * stride + i)] = float(std::int16_t(of_position())) / 16384;
        for (int i = 0; i < d / 2; ++i) {
          cos_sin[std::size_t(row * d + i)] = std::cos(float(position * (i + 1)));
          cos_sin[std::size_t(row * d + d / 2 + i)] = std::sin(float(position * (i + 1)));
        }
      }
    KvView const view = kv_.view();
    backend.rope_and_store({.qkv = qkv.data(),
                            .stride = stride,
                            .heads = heads,
                            .rotary_dim = d,
                            .cos_sin = cos_sin.data(),
                            .kv = view,
                            .sequences = sequences},
                           queue);
    AlignedBytes workspace(
        attention_workspace_bytes(d, *std::max_element(lengths_.begin(), lengths_.end()), queue.team->size()));
    AlignedArray<float> out(std::size_t(rows * heads * d));
    backend.paged_attention({.out = out.data(),
                             .out_stride = heads * d,
                             .q = qkv.data(),
                             .q_stride = stride,
                             .kv = view,
                             .sequences = sequences,
                             .heads = heads,
                             .window = window,
                             .scale = 0.3f,
                             .workspace = {workspace.data(), workspace.size()}},
                            queue);
    row = 0;
    for (Step const& s : steps)
      for (int position = s.first; position < s.end; ++position, ++row)
        outputs_[std::size_t(s.sequence)][std::size_t(position)].assign(out.data() + row * heads * d,
                                                                        out.data() + (row + 1) * heads * d);
  }

  bool same_as(AttentionRun const& other, int sequence) const {
    auto const &mine = outputs_[std::size_t(sequence)], &theirs = other.outputs_[std::size_t(sequence)];
    for (std::size_t position = 0; position < mine.size(); ++position)
      if (mine[position].empty() || !same_bits(mine[position], theirs[position])) return false;
    return true;
  }

 private:
  KvShape shape_;
  std::vector<int> lengths_;
  Random random_;
  PagedSequences kv_;
  std::vector<std::vector<std::vector<float>>> outputs_;  // [sequence][position][heads * d]
};

TEST_P(KernelBits, AttentionDoesNotDependOnChunksBatchesThreadsOrPages) {
  for (KvFormat format : {KvFormat::f32, KvFormat::bf16})
    for (int window : {0, 100}) {
      KvShape const shape{.layers = 1, .kv_heads = 2, .head_dim = 32, .format = format};
      std::vector<int> const lengths{1200, 150};
      AttentionRun whole(shape, lengths, 1);  // each sequence in one step of its own
      whole.step(backend(), queue(), {{0, 0, 1200}}, window);
      whole.step(backend(), queue(), {{1, 0, 150}}, window);
      with_teams([&](Queue const& threads) {
        AttentionRun chunked(shape, lengths, 2);  // other pages; chunks of both together, then single tokens
        chunked.step(backend(), threads, {{1, 0, 100}, {0, 0, 37}}, window);
        chunked.step(backend(), threads, {{0, 37, 1150}}, window);
        for (int i = 0; i < 50; ++i) {
          if (i % 2 == 0) chunked.step(backend(), threads, {{0, 1150 + i, 1151 + i}, {1, 100 + i, 101 + i}}, window);
          if (i % 2 == 1) chunked.step(backend(), threads, {{1, 100 + i, 101 + i}}, window);
          if (i % 2 == 1) chunked.step(backend(), threads, {{0, 1150 + i, 1151 + i}}, window);
        }

        EXPECT_TRUE(whole.same_as(chunked, 0));
        EXPECT_TRUE(whole.same_as(chunked, 1));
      });
    }
}

INSTANTIATE_FOR_EVERY_BACKEND(KernelBits);

}  // namespace
}  // namespace windlass
