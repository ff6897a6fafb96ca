#include "kernels/pack.hpp"

#include <algorithm>
#include <exception>
#include <mutex>

#include "kernels/pack_panel.hpp"
#include "src/core/error.hpp"
#include "src/core/thread_team.hpp"

namespace windlass {
namespace {

/// File bytes that one piece of work reads at a time: half of a core's second-level cache.
constexpr std::size_t piece_bytes = std::size_t(512) << 10;

std::int64_t round_up(std::int64_t value, std::int64_t unit) { return (value + unit - 1) / unit * unit; }

/// One source and where its rows start in the packed matrix.
struct PlacedSource {
  RowSource const* source;
  std::int64_t first_row;
};

/// The row of the file that becomes row `row` of the source's packed rows.
std::int64_t file_row(RowSource const& source, std::int64_t row) {
  std::int64_t const dim = source.interleaved_head_dim;
  if (dim == 0) return row;
  std::int64_t const within = row % dim, half = dim / 2;
  return row - within + within % half * 2 + within / half;
}

/// The part of a source that lies in some packed rows, with its bytes.
class SourcePiece {
 public:
  SourcePiece(PlacedSource const& placed, std::int64_t columns, std::int64_t first, std::int64_t last)
      : placed_(placed), row_bytes_(row_bytes(placed.source->type, placed.source->columns_in_file(columns))) {
    begin_ = std::max(first, placed.first_row);
    end_ = std::min(last, placed.first_row + placed.source->rows);
    if (begin_ >= end_) return;
    std::int64_t low = file_row_of(begin_), high = low;
    for (std::int64_t row = begin_; row < end_; ++row) {
      low = std::min(low, file_row_of(row));
      high = std::max(high, file_row_of(row));
    }
    first_file_row_ = low;
    bytes_.resize(std::size_t(high + 1 - low) * row_bytes_);
    placed.source->read(low, high + 1 - low, bytes_);
  }

  /// Row `row` of the packed matrix, if it comes from here.
  bool fill(std::int64_t row, PanelRow& out) const {
    if (row < begin_ || row >= end_) return false;
    std::int64_t const in_file = file_row_of(row);
    out = {.bytes = bytes_.data() + std::size_t(in_file - first_file_row_) * row_bytes_,
           .source = placed_.source,
           .source_row = in_file};
    return true;
  }

 private:
  std::int64_t file_row_of(std::int64_t row) const { return file_row(*placed_.source, row - placed_.first_row); }

  PlacedSource placed_;
  std::size_t row_bytes_;
  std::int64_t begin_ = 0, end_ = 0, first_file_row_ = 0;
  std::vector<std::byte> bytes_;
};

void pack_panels(PackedMatrix const& m, std::byte* bytes, std::span<PlacedSource const> placed, std::int64_t first,
                 std::int64_t last) {
  std::vector<SourcePiece> pieces;
  for (PlacedSource const& source : placed)
    pieces.emplace_back(source, m.columns, first * panel_rows, last * panel_rows);
  std::size_t const panel_bytes = std::size_t(m.groups()) * m.group_bytes();
  for (std::int64_t panel = first; panel < last; ++panel) {
    PanelRows rows{};
    for (int r = 0; r < panel_rows; ++r)
      for (SourcePiece const& piece : pieces)
        if (piece.fill(panel * panel_rows + r, rows[std::size_t(r)])) break;
    pack_panel(m, bytes + std::size_t(panel) * panel_bytes, rows);
  }
}

std::int64_t panels_per_piece(std::span<RowSource const> sources, std::int64_t columns) {
  std::size_t widest = 1;
  std::int64_t head_panels = 1;  // a head whose rows are interleaved is read as a whole
  for (RowSource const& source : sources) {
    widest = std::max(widest, row_bytes(source.type, source.columns_in_file(columns)) * panel_rows);
    head_panels = std::max<std::int64_t>(head_panels, round_up(source.interleaved_head_dim, panel_rows) / panel_rows);
  }
  return round_up(std::clamp<std::int64_t>(std::int64_t(piece_bytes / widest), 1, 8), head_panels);
}

/// The first exception of several threads.
class FirstException {
 public:
  template <class Work>
  void guard(Work const& work) noexcept {
    try {
      work();
    } catch (...) {
      std::lock_guard const lock(mutex_);
      if (!first_) first_ = std::current_exception();
    }
  }
  void rethrow() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr first_;
};

PackedForm form_of_all(std::span<RowSource const> sources, PackOptions const& options) {
  if (options.floating_format) return {.format = *options.floating_format};
  PackedForm form = form_of(sources.front().type, options.precision);
  for (RowSource const& source : sources) form = common_form(form, form_of(source.type, options.precision));
  return form;
}

}  // namespace

PackedForm form_of(FileType type, Precision precision) {
  switch (type) {
    case FileType::f32:
      return {WeightFormat::f32};
    case FileType::f16:
      return {WeightFormat::f16};
    case FileType::bf16:
      return {WeightFormat::bf16};
    case FileType::f8_e4m3:
      return {precision == Precision::f32 ? WeightFormat::f32 : WeightFormat::bf16};
    case FileType::q4_0:
      return {WeightFormat::q4, ScaleType::f16};
    case FileType::q4_1:
      return {WeightFormat::q4_min, ScaleType::f16};
    case FileType::q8_0:
    case FileType::q5_0:
    case FileType::iq4_nl:
      return {WeightFormat::q8, ScaleType::f16};
    case FileType::q5_1:
      return {WeightFormat::q8_min, ScaleType::f16};
    case FileType::q4_k:
      return {WeightFormat::q4_min, ScaleType::f32};
    case FileType::q5_k:
      return {WeightFormat::q8_min, ScaleType::f32};
    case FileType::q6_k:
      return {WeightFormat::q8, ScaleType::f32, 16};
  }
  ensure(false, "unknown file type");
  return {};
}

PackedForm common_form(PackedForm a, PackedForm b) {
  if (a == b) return a;
  if (!is_quantized(a.format) || !is_quantized(b.format)) return {WeightFormat::f32};
  bool const min = has_min(a.format) || has_min(b.format);
  bool const four_bits = a.format != WeightFormat::q8 && a.format != WeightFormat::q8_min &&
                         b.format != WeightFormat::q8 && b.format != WeightFormat::q8_min;
  bool const half_scales =
      a.scale_type == ScaleType::f16 && b.scale_type == ScaleType::f16 && has_min(a.format) == has_min(b.format);
  PackedForm form;
  form.format =
      four_bits ? (min ? WeightFormat::q4_min : WeightFormat::q4) : (min ? WeightFormat::q8_min : WeightFormat::q8);
  form.scale_type = half_scales ? ScaleType::f16 : ScaleType::f32;
  form.scale_group = std::min(a.scale_group, b.scale_group);
  return form;
}

PackedMatrix pack(std::span<RowSource const> sources, std::int64_t columns, PackOptions const& options,
                  WeightArena& arena, ThreadTeam& team) {
  ensure(!sources.empty(), "pack: no sources");
  std::vector<PlacedSource> placed;
  std::int64_t rows = 0;
  for (RowSource const& source : sources) {
    std::int64_t const in_file = source.columns_in_file(columns);
    ensure(in_file % block_weights(source.type) == 0, "pack: columns are not whole blocks");
    ensure(source.first_column % group_size == 0 && source.first_column + columns <= in_file,
           "pack: a part of the columns starts at a group and ends inside of the row");
    placed.push_back({&source, rows});
    rows = round_up(rows + source.rows, source.fill_to);
  }
  PackedForm const form = form_of_all(sources, options);
  PackedMatrix matrix{.format = form.format,
                      .scale_type = form.scale_type,
                      .scale_group = form.scale_group,
                      .rows = int(rows),
                      .columns = int(columns)};
  WeightArena::Part const part = arena.allocate(matrix.size_bytes());
  matrix.bytes = part.bytes;
  matrix.owner = part.owner;
  if (arena.filling() != Filling::here) return matrix;
  FirstException failure;
  team.for_parts(matrix.panels(), panels_per_piece(sources, columns), [&](std::int64_t first, std::int64_t last, int) {
    failure.guard([&] { pack_panels(matrix, part.bytes.data(), placed, first, last); });
  });
  failure.rethrow();
  return matrix;
}

}  // namespace windlass
