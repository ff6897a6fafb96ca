/// What the CUDA kernels' tests without a device rest on: fragments of tensor cores, threads that wait for each other,
/// and how many threads each kernel asks for.
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/cuda/attention_jobs.hpp"
#include "kernels/cuda/mma.hpp"
#include "kernels/cuda/product.hpp"
#include "kernels/cuda/table.hpp"

namespace windlass::cuda_emulated {
namespace {

/// The matrices of one product, and how a lane takes its fragments from them, by the tables of the PTX manual.
struct Matrices {
  int left[16][32], right[32][8];

  Matrices() {
    for (int row = 0; row < 16; ++row)
      for (int k = 0; k < 32; ++k) left[row][k] = (row * 7 + k * 5) % 23 - 11;
    for (int k = 0; k < 32; ++k)
      for (int column = 0; column < 8; ++column) right[k][column] = (k * 3 + column * 11) % 19 - 9;
  }
  int product(int row, int column, int depth) const {
    int sum = 0;
    for (int k = 0; k < depth; ++k) sum += left[row][k] * right[k][column];
    return sum;
  }
};

std::uint32_t word_of_bytes(int a, int b, int c, int d) {
  return std::uint32_t(a & 255) | std::uint32_t(b & 255) << 8 | std::uint32_t(c & 255) << 16 |
         std::uint32_t(d & 255) << 24;
}

struct BytesKernel {
  Matrices const& m;
  int* sums;  // [16, 8]

  std::uint32_t left(int row, int k) const {
    return word_of_bytes(m.left[row][k], m.left[row][k + 1], m.left[row][k + 2], m.left[row][k + 3]);
  }
  std::uint32_t right(int column, int k) const {
    return word_of_bytes(m.right[k][column], m.right[k + 1][column], m.right[k + 2][column], m.right[k + 3][column]);
  }
  void operator()(Thread const& thread) const {
    int const g = thread.lane() / 4, q = thread.lane() % 4;
    int own[4] = {};
    multiply_bytes_32<Sign::both>(thread, own,
                                  {left(g, q * 4), left(g + 8, q * 4), left(g, q * 4 + 16), left(g + 8, q * 4 + 16)},
                                  {right(g, q * 4), right(g, q * 4 + 16)});
    for (int i = 0; i < 4; ++i) sums[(g + i / 2 * 8) * 8 + q * 2 + i % 2] = own[i];
  }
};

TEST(TensorCore, MultipliesBytesInTheFragmentsOfTheManual) {
  Matrices const m;
  std::vector<int> sums(16 * 8);
  ThreadBlock block(32, 0);

  block.run({}, BytesKernel{m, sums.data()});

  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column)
      ASSERT_EQ(sums[std::size_t(row * 8 + column)], m.product(row, column, 32));
}

struct Bf16Kernel {
  Matrices const& m;
  float* sums;  // [16, 8]

  void operator()(Thread const& thread) const {
    int const g = thread.lane() / 4, q = thread.lane() % 4;
    auto const left = [&](int row, int k) { return bf16_pair(float(m.left[row][k]), float(m.left[row][k + 1])); };
    auto const right = [&](int k) { return bf16_pair(float(m.right[k][g]), float(m.right[k + 1][g])); };
    float own[4] = {};
    multiply_bf16(thread, own, {left(g, q * 2), left(g + 8, q * 2), left(g, q * 2 + 8), left(g + 8, q * 2 + 8)},
                  {right(q * 2), right(q * 2 + 8)});
    for (int i = 0; i < 4; ++i) sums[(g + i / 2 * 8) * 8 + q * 2 + i % 2] = own[i];
  }
};

TEST(TensorCore, MultipliesBf16InTheFragmentsOfTheManual) {
  Matrices const m;
  std::vector<float> sums(16 * 8);
  ThreadBlock block(32, 0);

  block.run({}, Bf16Kernel{m, sums.data()});

  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column)
      ASSERT_EQ(sums[std::size_t(row * 8 + column)], float(m.product(row, column, 16)));
}

TEST(ThreadBlock, SumsAndMaximaAreTheSameInAllThreads) {
  std::vector<double> sums(128);
  std::vector<float> largest(128);
  ThreadBlock block(128, 32 * sizeof(double));

  block.run({}, [&](Thread const& thread) {
    sums[std::size_t(thread.index())] = sum_of_block(thread, double(thread.index()), thread.shared<double>());
    largest[std::size_t(thread.index())] =
        largest_of_block(thread, float(thread.index() * 37 % 128), thread.shared<float>());
  });

  EXPECT_EQ(sums, std::vector<double>(128, 127 * 128 / 2));
  EXPECT_EQ(largest, std::vector<float>(128, 127));
}

TEST(ThreadBlock, AWaitForAThreadThatLeavesEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto const run = [] {
    ThreadBlock block(64, 0);
    block.run({}, [](Thread const& thread) {
      if (thread.index() != 40) thread.sync();
    });
  };

  EXPECT_DEATH(run(), "wait for threads that have left");
}

TEST(Numbers, PowersOfTwoAndOfEAreRight) {
  for (float z = -130; z <= 0; z += 0.37f) {
    double const exact = z < -124 ? 0 : std::exp2(double(z));
    EXPECT_NEAR(power_of_two(z), exact, 2e-7 * exact) << z;
  }
  for (float z = -90; z < 88; z += 0.71f) {
    double const exact = z < -86 ? 0 : std::exp(double(z));
    EXPECT_NEAR(exponential(z), exact, 3e-7 * exact) << z;
  }
  EXPECT_EQ(power_of_two(-INFINITY), 0);
  EXPECT_EQ(power_of_two(0), 1);
  EXPECT_EQ(exponential(100), INFINITY);
  EXPECT_TRUE(std::isnan(exponential(NAN)) && std::isnan(power_of_two(NAN)));
}

TEST(LaunchShape, WaitingSumsAreWhatTheTreeNeeds) {
  EXPECT_EQ(waiting_sums(1), 0);
  EXPECT_EQ(waiting_sums(2), 1);
  EXPECT_EQ(waiting_sums(8), 3);
  EXPECT_EQ(waiting_sums(7), 2);
  EXPECT_EQ(waiting_sums(16), 4);
  for (int slices = 1; slices <= max_slices; ++slices) EXPECT_LT(waiting_sums(slices), max_slice_levels) << slices;
}

TEST(LaunchShape, FewPanelsAreSpreadOverMoreThreadBlocks) {
  EXPECT_EQ(warps_for_panels(1), 1);
  EXPECT_EQ(warps_for_panels(256), 1);
  EXPECT_EQ(warps_for_panels(2047), 2);
  EXPECT_EQ(warps_for_panels(9496), 4);
}

TEST(LaunchShape, ImpossibleOnesAreKnown) {
  EXPECT_TRUE((LaunchShape{.blocks = 1, .parts = 65535, .threads = 1024}.is_possible(0)));
  EXPECT_FALSE((LaunchShape{.parts = 65536}.is_possible(0)));
  EXPECT_FALSE((LaunchShape{.blocks = std::int64_t{1} << 31}.is_possible(0)));
  EXPECT_FALSE((LaunchShape{.threads = 1056}.is_possible(0)));
  EXPECT_FALSE((LaunchShape{.threads = 40}.is_possible(0)));
  EXPECT_FALSE((LaunchShape{.shared_bytes = 1}.is_possible(0)));
  EXPECT_TRUE((LaunchShape{.blocks = 0}.is_empty()));
}

/// Launches of an operation, which is not run.
template <class Work>
std::vector<LaunchRecord::Noted> launches_of(Work const& work) {
  LaunchRecord record;
  work();
  return record.launches();
}

void expect_possible(std::vector<LaunchRecord::Noted> const& launches) {
  EXPECT_FALSE(launches.empty());
  for (auto const& [kernel, shape] : launches)
    EXPECT_TRUE(shape.is_possible(most_shared_bytes))
        << kernel << ": " << shape.blocks << " x " << shape.parts << " of " << shape.threads << ", "
        << shape.shared_bytes << " bytes";
}

PackedMatrix large_matrix(WeightFormat format, int rows, int columns) {
  ScaleType const scales = is_quantized(format) ? ScaleType::f16 : ScaleType::none;
  return {.format = format, .scale_type = scales, .rows = rows, .columns = columns, .bytes = {}, .owner = nullptr};
}

TEST(LaunchShape, ProductsOfTheLargestModelsArePossible) {
  for (WeightFormat format : {WeightFormat::f32, WeightFormat::bf16, WeightFormat::q8, WeightFormat::q4_min})
    for (auto const& [rows, columns] : {std::pair{262208, 5376}, {8192, 65536}, {16, 32}})
      for (int tokens : {1, 8, 9, 65536})
        for (int slices : {1, 64}) {
          PackedMatrix const weight = large_matrix(format, rows, columns);
          ActivationFormat const x = activation_format(format, Precision::fast, true);
          int const possible_slices = std::min(slices, weight.groups());
          expect_possible(launches_of([&] {
            matmul({.x = {.format = x, .stride = columns},
                    .weight = &weight,
                    .slices = Slices::even(weight.groups(), possible_slices),
                    .tokens = tokens},
                   {});
          }));
        }
}

TEST(LaunchShape, AttentionOverAMillionPositionsAndHeadsOf512IsPossible) {
  std::vector<std::uint32_t> const pages(1 << 14);
  SequenceRows const sequences[] = {
      {.first_row = 0, .rows = 8192, .first_position = (1 << 20) - 8192, .pages = pages.data()},
      {.first_row = 8192, .rows = 1, .first_position = 4, .pages = pages.data()}};
  for (KvFormat format : {KvFormat::f32, KvFormat::bf16})
    for (int head_dim : {64, 80, 100, 128, 256, 512}) {
      std::span<std::byte> const workspace(static_cast<std::byte*>(nullptr),
                                           attention_workspace_bytes(head_dim, 1 << 20, 1));
      KvShape const shape{.layers = 1, .kv_heads = 8, .head_dim = head_dim, .format = format};
      expect_possible(launches_of([&] {
        paged_attention({.kv = {.shape = shape}, .sequences = sequences, .heads = 32, .workspace = workspace}, {});
      }));
    }
}

TEST(LaunchShape, ManyRowsArePossible) {
  constexpr int tokens = 1 << 20;
  std::vector<int> const rows(tokens);
  std::vector<float> const weights(tokens);
  expect_possible(launches_of([&] {
    rms_norm({.tokens = tokens, .hidden = 16384}, {});
    gated_activation({.tokens = tokens, .width = 1 << 17}, {});
    log_normalizer({.rows = tokens, .vocab = 262208}, {});
    route_experts({.tokens = tokens, .num_experts = 512, .chosen = 10}, {});
    gather_rows({.rows = rows.data(), .count = tokens, .width = 16384}, {});
    combine_expert({.rows = rows.data(), .weights = weights.data(), .count = tokens, .width = 16384}, {});
    encode_activations({.out = {.format = ActivationFormat::int8, .stride = 1 << 17}, .tokens = tokens}, {});
  }));
}

TEST(LaunchShape, NothingToDoLaunchesNothing) {
  PackedMatrix const weight = large_matrix(WeightFormat::q8, 64, 64);
  auto const launches = launches_of([&] {
    matmul({.x = {.format = ActivationFormat::int8, .stride = 64}, .weight = &weight, .slices = Slices::whole(2)}, {});
    embedding({.table = &weight}, {});
    paged_attention({.kv = {.shape = {.layers = 1, .kv_heads = 1, .head_dim = 64}}, .heads = 1}, {});
    rope_and_store({}, {});
    gather_rows({}, {});
    combine_expert({}, {});
    sum_partials({}, {});
  });

  for (auto const& [kernel, shape] : launches) EXPECT_TRUE(shape.is_empty()) << kernel;
}

}  // namespace
}  // namespace windlass::cuda_emulated
