#include "kernels/pack.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "kernels/float_formats.hpp"
#include "kernels/reference/dequantize.hpp"
#include "src/core/error.hpp"
#include "src/core/thread_team.hpp"

namespace windlass {
namespace {

constexpr FileType all_types[] = {FileType::f32,  FileType::f16,  FileType::bf16,  FileType::f8_e4m3, FileType::q8_0,
                                  FileType::q4_0, FileType::q4_1, FileType::q5_0,  FileType::q5_1,    FileType::q4_k,
                                  FileType::q5_k, FileType::q6_k, FileType::iq4_nl};

/// Rows of random bytes, without infinities and NaN, and what they stand for.
struct FileMatrix {
  FileType type;
  std::int64_t rows, columns;
  std::vector<std::byte> bytes;
  std::vector<float> values;

  FileMatrix(FileType t, std::int64_t r, std::int64_t c, unsigned seed) : type(t), rows(r), columns(c) {
    std::mt19937 random(seed);
    bytes.resize(row_bytes(t, rows * columns));
    values.resize(std::size_t(rows * columns));
    for (std::byte& b : bytes) b = std::byte(random() & 0xff);
    std::size_t const unit = block_bytes(type);
    for (std::size_t at = 0; at < bytes.size(); at += unit) tame(bytes.data() + at);
    reference::dequantize(type, bytes, values);
  }

  RowSource source() const {
    RowSource s{.type = type, .rows = rows};
    s.read = [this](std::int64_t first, std::int64_t count, std::span<std::byte> out) {
      ASSERT_EQ(out.size(), row_bytes(type, columns) * std::size_t(count));
      std::memcpy(out.data(), bytes.data() + std::size_t(first) * row_bytes(type, columns), out.size());
    };
    return s;
  }
  float at(std::int64_t row, std::int64_t column) const { return values[std::size_t(row * columns + column)]; }

 private:
  /// Clears the top exponent bit of the block's floating-point numbers.
  void tame(std::byte* block) const {
    auto const clear = [&](std::size_t high_byte) { block[high_byte] &= std::byte(0xbf); };
    if (type == FileType::f32) return clear(3);
    if (type == FileType::f8_e4m3) return clear(0);
    if (type == FileType::q6_k) return clear(209);
    clear(1);
    if (type == FileType::q4_1 || type == FileType::q5_1 || type == FileType::q4_k || type == FileType::q5_k) clear(3);
  }
};

struct Packer {
  WeightArena arena{1 << 22};
  ThreadTeam team{{.threads = 2}};
  PackOptions options;

  PackedMatrix operator()(std::vector<RowSource> const& sources, std::int64_t columns) {
    return pack(sources, columns, options, arena, team);
  }
};

void expect_rows(PackedMatrix const& packed, int first_row, FileMatrix const& from) {
  for (std::int64_t r = 0; r < from.rows; ++r)
    for (std::int64_t c = 0; c < from.columns; ++c)
      ASSERT_EQ(weight_at(packed, first_row + int(r), int(c)), from.at(r, c))
          << name(from.type) << " row " << r << " column " << c << " as " << name(packed.format);
}

TEST(Pack, EveryTypeKeepsItsValuesExactly) {
  for (FileType const type : all_types) {
    Packer packer;
    packer.options.precision = Precision::f32;
    for (int const rows : {1, 16, 37, 150}) {
      FileMatrix const from(type, rows, 512, unsigned(rows));

      PackedMatrix const packed = packer({from.source()}, 512);

      EXPECT_EQ(packed.rows, rows);
      expect_rows(packed, 0, from);
    }
  }
}

TEST(Pack, FloatingColumnsThatAreNoWholeGroupsAreFilledUpWithZeros) {
  for (FileType const type : {FileType::f32, FileType::f16, FileType::bf16}) {
    Packer packer;
    FileMatrix const from(type, 20, 45, 7);

    PackedMatrix const packed = packer({from.source()}, 45);

    expect_rows(packed, 0, from);
    for (int c = 45; c < 64; ++c) EXPECT_EQ(weight_at(packed, 3, c), 0.0f);
    EXPECT_EQ(weight_at(packed, 25, 1), 0.0f);  // row filled up
  }
}

TEST(Pack, Fp8BecomesBf16RoundedToNearestEvenUnlessPrecisionIsF32) {
  FileMatrix const from(FileType::f8_e4m3, 40, 160, 3);
  RowSource source = from.source();
  source.scales = {.values = {0.3f, -1.7f, 2.5f, 0.01f}, .rows_per_scale = 32, .columns_per_scale = 128};
  Packer fast, exact;
  exact.options.precision = Precision::f32;

  PackedMatrix const rounded = fast({source}, 160), kept = exact({source}, 160);

  EXPECT_EQ(rounded.format, WeightFormat::bf16);
  EXPECT_EQ(kept.format, WeightFormat::f32);
  for (int r = 0; r < 40; ++r)
    for (int c = 0; c < 160; ++c) {
      float const value = from.at(r, c) * source.scales.values[std::size_t(r / 32 * 2 + c / 128)];
      EXPECT_EQ(weight_at(kept, r, c), value);
      EXPECT_EQ(weight_at(rounded, r, c), bf16_to_float(float_to_bf16(value)));
    }
}

TEST(Pack, AnyTwoTypesFuseWithoutLosingAValue) {
  for (FileType const a : all_types)
    for (FileType const b : all_types) {
      Packer packer;
      packer.options.precision = Precision::f32;
      FileMatrix const first(a, 24, 256, 1), second(b, 9, 256, 2);

      PackedMatrix const packed = packer({first.source(), second.source(), first.source()}, 256);

      ASSERT_EQ(packed.rows, 57);
      expect_rows(packed, 0, first);
      expect_rows(packed, 24, second);
      expect_rows(packed, 33, first);
    }
}

TEST(Pack, TheFormOfUnlikeSourcesIsTheNarrowestThatHoldsThem) {
  auto const common = [](FileType a, FileType b) {
    return common_form(form_of(a, Precision::fast), form_of(b, Precision::fast));
  };

  EXPECT_EQ(common(FileType::q4_0, FileType::q8_0), (PackedForm{WeightFormat::q8, ScaleType::f16, 32}));
  EXPECT_EQ(common(FileType::q4_0, FileType::q4_1), (PackedForm{WeightFormat::q4_min, ScaleType::f32, 32}));
  EXPECT_EQ(common(FileType::q4_k, FileType::q6_k), (PackedForm{WeightFormat::q8_min, ScaleType::f32, 16}));
  EXPECT_EQ(common(FileType::q4_1, FileType::q5_1), (PackedForm{WeightFormat::q8_min, ScaleType::f16, 32}));
  EXPECT_EQ(common(FileType::q8_0, FileType::bf16), (PackedForm{WeightFormat::f32}));
  EXPECT_EQ(common(FileType::f16, FileType::bf16), (PackedForm{WeightFormat::f32}));
}

TEST(Pack, InterleavedRopeRowsBecomeHalvesOfEachHead) {
  for (int const head_dim : {6, 16, 64, 80, 128}) {
    Packer packer;
    FileMatrix const from(FileType::q8_0, head_dim * 3, 64, 5);
    RowSource source = from.source();
    source.interleaved_head_dim = head_dim;

    PackedMatrix const packed = packer({source}, 64);

    for (int head = 0; head < 3; ++head)
      for (int i = 0; i < head_dim; ++i) {
        int const half = head_dim / 2, in_file = i < half ? 2 * i : 2 * (i - half) + 1;
        ASSERT_EQ(weight_at(packed, head * head_dim + i, 9), from.at(head * head_dim + in_file, 9)) << head_dim;
      }
  }
}

TEST(Pack, ASourceCanBeFilledUpToWholePanels) {
  Packer packer;
  FileMatrix const gate(FileType::q4_1, 20, 32, 1), up(FileType::q4_1, 20, 32, 2);
  RowSource first = gate.source();
  first.fill_to = 16;

  PackedMatrix const packed = packer({first, up.source()}, 32);

  EXPECT_EQ(packed.rows, 52);
  expect_rows(packed, 0, gate);
  for (int r = 20; r < 32; ++r) EXPECT_EQ(weight_at(packed, r, 5), 0.0f);
  expect_rows(packed, 32, up);
}

TEST(Pack, BytesAreAlignedAndStayAliveThroughCopies) {
  Packer packer;
  PackedMatrix copy;
  {
    WeightArena arena(1 << 16);
    FileMatrix const from(FileType::f32, 33, 40, 1);
    std::vector<RowSource> const sources{from.source()};
    copy = pack(sources, 40, {}, arena, packer.team);
  }

  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(copy.bytes.data()) % 64, 0u);
  EXPECT_EQ(copy.bytes.size(), copy.size_bytes());
  EXPECT_EQ(weight_at(copy, 32, 45), 0.0f);
}

TEST(Pack, AnErrorWhileReadingReachesTheCaller) {
  Packer packer;
  RowSource source{.type = FileType::f32, .rows = 1000};
  source.read = [](std::int64_t first, std::int64_t, std::span<std::byte>) {
    if (first > 500) throw InputError("the file ends here");
  };

  EXPECT_THROW(packer({source}, 64), InputError);
}

}  // namespace
}  // namespace windlass
