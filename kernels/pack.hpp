/// Packing: rows of model files, in any of their types, into a PackedMatrix.
///
/// Values are those of the file. Every type has a form that holds it exactly:
///
/// | file type | packed as |
/// | --- | --- |
/// | F32, F16, BF16 | f32, f16, bf16 |
/// | F8_E4M3 | code * scale, rounded to nearest even, as bf16; as f32 under Precision::f32 |
/// | Q4_0 / Q4_1 | q4 / q4_min, f16 scales |
/// | Q8_0, Q5_0, IQ4_NL / Q5_1 | q8 / q8_min, f16 scales |
/// | Q4_K / Q5_K | q4_min / q8_min, f32 scales d sc and minimums -(dmin m) |
/// | Q6_K | q8, f32 scales d sc in groups of 16 |
///
/// Sources of one matrix with unlike forms get the narrowest form that holds all of them exactly: among quantised ones
/// 8 bits if one has 8, minimums if one has them (a form without them has min = -zero * scale), scale groups of 16 if
/// one has them, f32 scales unless all have f16 and agree on minimums. Quantised with floating-point sources, and
/// unlike floating-point sources, become f32.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "kernels/activations.hpp"
#include "kernels/file_types.hpp"
#include "kernels/packed_matrix.hpp"
#include "kernels/weight_arena.hpp"

namespace windlass {

class ThreadTeam;

/// Scales of an F8_E4M3 matrix: value = code * scale[(first_row + row) / rows_per_scale][column / columns_per_scale].
struct BlockScales {
  std::vector<float> values;  ///< [ceil(rows / rows_per_scale), ceil(columns / columns_per_scale)]; empty: all 1
  std::int64_t rows_per_scale = 1, columns_per_scale = 1;
  std::int64_t first_row = 0;  ///< of the scaled matrix, where the source is only a part of it
};

/// Consecutive rows of a matrix in a file.
struct RowSource {
  FileType type = FileType::f32;
  std::int64_t rows = 0;
  /// Copies rows [first, first + count) as they are in the file; called from any thread; may throw.
  std::function<void(std::int64_t first, std::int64_t count, std::span<std::byte> out)> read;
  /// Where > 0: each head of so many rows has its rope pairs as neighbours (2 i, 2 i + 1) in the file; packed they are
  /// halves (i, i + d / 2).
  int interleaved_head_dim = 0;
  /// The packed rows of this source are filled up with zero rows to a multiple of it.
  int fill_to = 1;
  BlockScales scales;  ///< F8_E4M3 only
  /// Where file_columns > 0: the file's rows have so many columns, and those from first_column on are packed, as many
  /// as the packed matrix has. first_column is a multiple of 32.
  std::int64_t file_columns = 0, first_column = 0;

  std::int64_t columns_in_file(std::int64_t packed_columns) const {
    return file_columns > 0 ? file_columns : packed_columns;
  }
};

struct PackOptions {
  Precision precision = Precision::fast;
  std::optional<WeightFormat> floating_format;  ///< f32: the matrix becomes f32 whatever its sources are
};

/// How one file type, or several together, are packed.
struct PackedForm {
  WeightFormat format = WeightFormat::f32;
  ScaleType scale_type = ScaleType::none;
  int scale_group = group_size;
  bool operator==(PackedForm const&) const = default;
};
PackedForm form_of(FileType type, Precision precision);
PackedForm common_form(PackedForm a, PackedForm b);

/// Packs the rows of `sources`, one source after the other. The columns in the file are a multiple of its
/// block_weights. Parallel over panels; rethrows what a source's `read` throws. Where the arena's memory is
/// not filled here, nothing is read: the matrix is where the other process's is.
PackedMatrix pack(std::span<RowSource const> sources, std::int64_t columns, PackOptions const& options,
                  WeightArena& arena, ThreadTeam& team);

}  // namespace windlass
