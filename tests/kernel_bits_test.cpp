/// The canonical order of sums: a row has the same bits alone and in any batch, with any number of threads, at any
/// place.
#include <cmath>

#include "kernels/kv_tile.hpp"
#include "src/core/text.hpp"
#include "tests/row_operations.hpp"

namespace windlass {
namespace {

using namespace testing_data;

class KernelBits : public BackendTest {
 protected:
  /// Runs the same work with queues of 1, 2 and 3 threads.
  template <class Work>
  void with_teams(Work const& work) {
    bool const uses_teams = std::string(backend().name).substr(0, 4) != "cuda";
    for (int threads : uses_teams ? std::vector{1, 2, 3} : std::vector{1}) {
      ThreadTeam team({.threads = threads, .cpus = {}, .spin_us = 0});
      SCOPED_TRACE(text(threads, " threads"));
      work(Queue{&team});
    }
  }
};

/// What a matrix product of the engine does: encoding of x [tokens, columns], then the product, into memory full of
/// an earlier batch's garbage.
struct Product {
  PackedMatrix const& weight;
  Precision precision;

  Output operator()(Operations const& backend, Queue const& queue, std::span<float const> x) const {
    int const tokens = int(x.size()) / weight.columns;
    ActivationRows rows(activation_format(weight.format, precision, backend.bf16_products), tokens, weight.columns);
    rows.fill_with_garbage();
    backend.encode_activations(
        {.out = rows.view, .x = x.data(), .x_stride = weight.columns, .tokens = tokens, .columns = weight.columns},
        queue);
    Output y(tokens, weight.rows);
    backend.matmul({.y = y.data(),
                    .y_stride = y.stride(),
                    .x = rows.view,
                    .weight = &weight,
                    .slices = Slices::even(weight.groups(), std::min(weight.groups(), 5)),
                    .tokens = tokens},
                   queue);
    return y;
  }
};

TEST_P(KernelBits, ProductsDoNotDependOnTheBatchOrTheThreads) {
  constexpr MatrixShape shapes[] = {
      {WeightFormat::f32, ScaleType::none, 32, 70, 352},  {WeightFormat::f16, ScaleType::none, 32, 70, 352},
      {WeightFormat::bf16, ScaleType::none, 32, 70, 352}, {WeightFormat::q8, ScaleType::f16, 32, 70, 352},
      {WeightFormat::q8, ScaleType::f32, 16, 70, 352},    {WeightFormat::q8_min, ScaleType::f32, 32, 70, 352},
      {WeightFormat::q4, ScaleType::f16, 32, 70, 352},    {WeightFormat::q4_min, ScaleType::f16, 32, 70, 352},
      {WeightFormat::q8_min, ScaleType::f16, 16, 17, 64},
  };
  constexpr int tokens = 29;
  Random random(1);
  for (MatrixShape const& shape : shapes)
    for (Precision precision : {Precision::f32, Precision::fast}) {
      SCOPED_TRACE(text(name(shape.format), ", precision ", int(precision)));
      auto const weight = random_matrix(shape, random);
      auto const x = normal_array(random, std::size_t(tokens * shape.columns));
      auto const width = std::size_t(shape.columns);
      Product const product{weight, precision};
      std::vector<Output> alone;
      for (std::size_t t = 0; t < tokens; ++t)
        alone.push_back(product(backend(), queue(), {x.data() + t * width, width}));
      with_teams([&](Queue const& threads) {
        for (std::size_t first : {0, 3, 21, 27}) {  // so that a row has many places in its tile, and many neighbours
          auto const together = product(backend(), threads, {x.data() + first * width, (tokens - first) * width});
          for (std::size_t t = first; t < tokens; ++t)
            EXPECT_TRUE(same_bits(row_of(together, int(t - first), shape.rows), row_of(alone[t], 0, shape.rows)))
                << "row " << t << " in a batch from " << first;
        }
      });
    }
}

TEST_P(KernelBits, ProductsOfManyTokensHaveTheBitsOfOne) {
  constexpr int tokens = 261, columns = 96, rows = 40;  // more than the tokens that a task takes at once
  Random random(3);
  auto const x = normal_array(random, tokens * columns);
  for (WeightFormat format : {WeightFormat::f32, WeightFormat::bf16, WeightFormat::q4_min}) {
    ScaleType const scale_type = is_quantized(format) ? ScaleType::f16 : ScaleType::none;
    auto const weight = random_matrix({format, scale_type, group_size, rows, columns}, random);
    Product const product{weight, Precision::fast};

    auto const together = product(backend(), queue(), {x.data(), x.size()});

    for (int t : {0, 127, 255, 256, 260}) {
      auto const alone = product(backend(), queue(), {x.data() + t * columns, columns});
      EXPECT_TRUE(same_bits(row_of(together, t, rows), row_of(alone, 0, rows))) << name(format) << ", row " << t;
    }
  }
}

TEST_P(KernelBits, RowOperationsDoNotDependOnTheBatchOrTheThreads) {
  constexpr int places[] = {0, 1, 8, 17, 36};
  std::vector<std::vector<float>> alone;
  for (int t : places) {
    RowOperations one(backend(), queue(), t, 1);
    one.run();
    alone.push_back(one.row(0));
  }
  with_teams([&](Queue const& threads) {
    RowOperations all(backend(), threads, 0, RowOperations::tokens);
    all.run();
    for (std::size_t i = 0; i < alone.size(); ++i)
      EXPECT_TRUE(same_bits(all.row(places[i]), alone[i])) << "row " << places[i];
  });
}

class AttentionBits : public KernelBits {};

struct AttentionKind {
  KvShape shape;
  int window, rotary_dim;
  float soft_cap;
  bool with_norms;
};

/// Several sequences of known q, k, v, whose rows are computed in steps.
class AttentionRun {
 public:
  AttentionRun(AttentionKind const& kind, std::vector<int> lengths, std::uint64_t place)
      : kind_(kind), lengths_(std::move(lengths)), random_(place), kv_(kind.shape, lengths_, random_) {
    for (int length : lengths_) outputs_.emplace_back(std::size_t(length));
  }

  static constexpr int heads = 4;

  /// Computes positions [first, end) of some sequences in one batch; must be called in ascending order.
  struct Step {
    int sequence, first, end;
  };
  void step(Operations const& backend, Queue const& queue, std::vector<Step> const& steps) {
    int const d = kind_.shape.head_dim, stride = (heads + 2 * kind_.shape.kv_heads) * d;
    std::vector<SequenceRows> sequences;
    int rows = 0;
    for (Step const& s : steps) {
      sequences.push_back({.first_row = rows,
                           .rows = s.end - s.first,
                           .first_position = s.first,
                           .pages = kv_.tables[std::size_t(s.sequence)].data()});
      rows += s.end - s.first;
    }
    int const rotary_dim = kind_.rotary_dim;
    AlignedArray<float> qkv(std::size_t(rows * stride)), cos_sin(std::size_t(rows * rotary_dim));
    Random of_norm(5);
    auto const norm = normal_array(of_norm, std::size_t(d));
    int row = 0;
    for (Step const& s : steps)
      for (int position = s.first; position < s.end; ++position, ++row) {
        Random of_position(std::uint64_t(s.sequence * 100'000 + position));
        for (int i = 0; i < stride; ++i)
          qkv[std::size_t(row * stride + i)] = float(std::int16_t(of_position())) / 16384;
        for (int i = 0; i < rotary_dim / 2; ++i) {
          cos_sin[std::size_t(row * rotary_dim + i)] = std::cos(float(position * (i + 1)));
          cos_sin[std::size_t(row * rotary_dim + rotary_dim / 2 + i)] = std::sin(float(position * (i + 1)));
        }
      }
    KvView const view = kv_.view();
    backend.rope_and_store({.qkv = qkv.data(),
                            .stride = stride,
                            .heads = heads,
                            .rotary_dim = rotary_dim,
                            .cos_sin = cos_sin.data(),
                            .q_norm = kind_.with_norms ? norm.data() : nullptr,
                            .k_norm = kind_.with_norms ? norm.data() : nullptr,
                            .norm_eps = 1e-6f,
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
                             .window = kind_.window,
                             .scale = 0.3f,
                             .soft_cap = kind_.soft_cap,
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
  AttentionKind kind_;
  std::vector<int> lengths_;
  Random random_;
  PagedSequences kv_;
  std::vector<std::vector<std::vector<float>>> outputs_;  // [sequence][position][heads * d]
};

TEST_P(AttentionBits, DoNotDependOnChunksBatchesThreadsOrPages) {
  AttentionKind const kinds[] = {
      {{.layers = 1, .kv_heads = 2, .head_dim = 32, .format = KvFormat::f32}, 0, 32, 0, false},
      {{.layers = 1, .kv_heads = 1, .head_dim = 20, .format = KvFormat::f32}, 100, 12, 20, true},
      {{.layers = 1, .kv_heads = 2, .head_dim = 32, .format = KvFormat::bf16}, 100, 16, 0, true},
      {{.layers = 1, .kv_heads = 4, .head_dim = 20, .format = KvFormat::bf16}, 0, 20, 20, false},
  };
  for (AttentionKind const& kind : kinds) {
    SCOPED_TRACE(text("format ", int(kind.shape.format), ", head_dim ", kind.shape.head_dim));
    std::vector<int> const lengths{1200, 150};
    AttentionRun whole(kind, lengths, 1);  // each sequence in one step of its own
    whole.step(backend(), queue(), {{0, 0, 1200}});
    whole.step(backend(), queue(), {{1, 0, 150}});
    with_teams([&](Queue const& threads) {
      AttentionRun chunked(kind, lengths, 2);  // other pages; chunks of both together, then single tokens
      chunked.step(backend(), threads, {{1, 0, 100}, {0, 0, 37}});
      chunked.step(backend(), threads, {{0, 37, 1150}});
      for (int i = 0; i < 50; ++i) {
        if (i % 2 == 0) chunked.step(backend(), threads, {{0, 1150 + i, 1151 + i}, {1, 100 + i, 101 + i}});
        if (i % 2 == 1) chunked.step(backend(), threads, {{1, 100 + i, 101 + i}});
        if (i % 2 == 1) chunked.step(backend(), threads, {{0, 1150 + i, 1151 + i}});
      }

      EXPECT_TRUE(whole.same_as(chunked, 0));
      EXPECT_TRUE(whole.same_as(chunked, 1));
    });
  }
}

/// `reference` too.
std::vector<Operations const*> all_backends() {
  auto backends = tested_backends();
  backends.insert(backends.begin(), available_operations().front());
  return backends;
}

INSTANTIATE_TEST_SUITE_P(, KernelBits, ::testing::ValuesIn(all_backends()), backend_name);
INSTANTIATE_FOR_EVERY_BACKEND(AttentionBits);

}  // namespace
}  // namespace windlass
