#include "kernels/pack_panel.hpp"

#include <cstring>

#include "kernels/float_formats.hpp"
#include "kernels/pack_group.hpp"
#include "kernels/reference/dequantize.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

using Bytes = std::byte const*;

std::uint32_t load_u32(Bytes at) {
  std::uint32_t value;
  std::memcpy(&value, at, 4);
  return value;
}

void store_u32(std::byte* at, std::uint32_t value) { std::memcpy(at, &value, 4); }

constexpr std::uint32_t low_nibbles = 0x0f0f0f0f;

/// Sixteen bytes of nibbles (codes j and j + 16 share byte j) as four words: codes 8 i .. 8 i + 3 low, the next four
/// high.
void store_nibbles(std::byte* to, Bytes nibbles) {
  constexpr std::size_t stride = panel_rows * 4;
  std::uint32_t const a = load_u32(nibbles), b = load_u32(nibbles + 4), c = load_u32(nibbles + 8),
                      d = load_u32(nibbles + 12);
  store_u32(to, (a & low_nibbles) | (b & low_nibbles) << 4);
  store_u32(to + stride, (c & low_nibbles) | (d & low_nibbles) << 4);
  store_u32(to + stride * 2, (a >> 4 & low_nibbles) | (b & ~low_nibbles));
  store_u32(to + stride * 3, (c >> 4 & low_nibbles) | (d & ~low_nibbles));
}

void store_q4_0(std::byte* to, Bytes row, std::int64_t group, int r) {
  Bytes const block = row + group * 18;
  store_nibbles(to + r * 4, block + 2);
  std::memcpy(to + 256 + r * 2, block, 2);
}

void store_q4_1(std::byte* to, Bytes row, std::int64_t group, int r) {
  Bytes const block = row + group * 20;
  store_nibbles(to + r * 4, block + 4);
  std::memcpy(to + 256 + r * 2, block, 2);
  std::memcpy(to + 288 + r * 2, block + 2, 2);
}

void store_q8_0(std::byte* to, Bytes row, std::int64_t group, int r) {
  Bytes const block = row + group * 34;
  for (int quad = 0; quad < 8; ++quad)
    store_u32(to + (quad * panel_rows + r) * 4, load_u32(block + 2 + quad * 4) ^ 0x80808080u);
  std::memcpy(to + 512 + r * 2, block, 2);
}

/// Calls store(group bytes, row bytes, the group's index in the file's row, r) for every group and row.
template <class Store>
void for_each_group(PackedMatrix const& m, std::byte* to, PanelRows const& rows, Store const& store) {
  std::size_t const bytes = m.group_bytes();
  for (std::int64_t g = 0; g < m.groups(); ++g)
    for (int r = 0; r < panel_rows; ++r)
      if (PanelRow const& row = rows[std::size_t(r)]; row.bytes != nullptr)
        store(to + std::size_t(g) * bytes, row.bytes, g + row.source->first_column / group_size, r);
}

/// Weights of `Value` bytes each, `together` of them next to each other: [k / together][r][k % together].
template <class Value, int together>
void copy_values(PackedMatrix const& m, std::byte* to, PanelRows const& rows) {
  for_each_group(m, to, rows, [&](std::byte* group, Bytes row, std::int64_t g, int r) {
    std::int64_t const before = (group - to) / std::ptrdiff_t(m.group_bytes()) * group_size;
    int const count = int(std::min<std::int64_t>(group_size, m.columns - before));
    Bytes const from = row + std::size_t(g) * group_size * sizeof(Value);
    for (int k = 0; k < count; ++k)
      std::memcpy(group + std::size_t((k / together * panel_rows + r) * together + k % together) * sizeof(Value),
                  from + std::size_t(k) * sizeof(Value), sizeof(Value));
  });
}

/// bf16 rows of whole groups: pairs of values move as words.
void copy_bf16_pairs(PackedMatrix const& m, std::byte* to, PanelRows const& rows) {
  for_each_group(m, to, rows, [](std::byte* group, Bytes row, std::int64_t g, int r) {
    for (int pair = 0; pair < group_size / 2; ++pair)
      store_u32(group + (pair * panel_rows + r) * 4, load_u32(row + (std::size_t(g) * 16 + std::size_t(pair)) * 4));
  });
}

/// Any row as float32, scales applied.
void dequantize_row(PanelRow const& row, std::span<float> values) {
  RowSource const& source = *row.source;
  reference::dequantize(source.type, {row.bytes, row_bytes(source.type, std::int64_t(values.size()))}, values);
  BlockScales const& scales = source.scales;
  if (scales.values.empty()) return;
  std::size_t const per_row =
      (values.size() + std::size_t(scales.columns_per_scale) - 1) / std::size_t(scales.columns_per_scale);
  float const* const of_row =
      scales.values.data() + std::size_t((scales.first_row + row.source_row) / scales.rows_per_scale) * per_row;
  for (std::size_t k = 0; k < values.size(); ++k) values[k] *= of_row[k / std::size_t(scales.columns_per_scale)];
}

/// The way for everything that becomes f32 or bf16 without being so in the file.
void pack_values(PackedMatrix const& m, std::byte* to, PanelRows const& rows) {
  std::vector<float> whole;
  for (std::size_t r = 0; r < panel_rows; ++r) {
    if (rows[r].bytes == nullptr) continue;
    whole.resize(std::size_t(rows[r].source->columns_in_file(m.columns)));
    dequantize_row(rows[r], whole);
    auto const values = std::span(whole).subspan(std::size_t(rows[r].source->first_column), std::size_t(m.columns));
    for (std::size_t k = 0; k < values.size(); ++k) {
      std::byte* const group = to + k / group_size * m.group_bytes();
      std::size_t const within = k % group_size;
      if (m.format == WeightFormat::f32) {
        std::memcpy(group + (within * panel_rows + r) * 4, &values[k], 4);
      } else {
        std::uint16_t const bits = float_to_bf16(values[k]);
        std::memcpy(group + ((within / 2 * panel_rows + r) * 2 + within % 2) * 2, &bits, 2);
      }
    }
  }
}

void pack_quantized(PackedMatrix const& m, std::byte* to, PanelRows const& rows) {
  PackedForm const form{m.format, m.scale_type, m.scale_group};
  for_each_group(m, to, rows, [&](std::byte* group, Bytes row, std::int64_t g, int r) {
    store_group(form, group, r, decode_group(rows[std::size_t(r)].source->type, row, g));
  });
}

/// The one type of all rows, or nothing.
std::optional<FileType> single_type(PanelRows const& rows) {
  std::optional<FileType> type;
  for (PanelRow const& row : rows) {
    if (row.bytes == nullptr) continue;
    if (type && *type != row.source->type) return {};
    type = row.source->type;
  }
  return type;
}

/// Types whose own form needs no arithmetic. False: not one of them.
bool pack_as_it_is(PackedMatrix const& m, std::byte* to, PanelRows const& rows, FileType type) {
  if (form_of(type, Precision::fast) != PackedForm{m.format, m.scale_type, m.scale_group}) return false;
  if (type == FileType::q4_1) {
    for_each_group(m, to, rows, store_q4_1);
  } else if (type == FileType::q4_0) {
    for_each_group(m, to, rows, store_q4_0);
  } else if (type == FileType::q8_0) {
    for_each_group(m, to, rows, store_q8_0);
  } else if (type == FileType::f32) {
    copy_values<std::uint32_t, 1>(m, to, rows);
  } else if (type == FileType::f16) {
    copy_values<std::uint16_t, 1>(m, to, rows);
  } else if (type == FileType::bf16 && m.columns % group_size == 0) {
    copy_bf16_pairs(m, to, rows);
  } else if (type == FileType::bf16) {
    copy_values<std::uint16_t, 2>(m, to, rows);
  } else {
    return false;
  }
  return true;
}

}  // namespace

void pack_panel(PackedMatrix const& matrix, std::byte* to, PanelRows const& rows) {
  std::optional<FileType> const type = single_type(rows);
  if (type && pack_as_it_is(matrix, to, rows, *type)) return;
  if (is_quantized(matrix.format)) return pack_quantized(matrix, to, rows);
  pack_values(matrix, to, rows);
}

}  // namespace windlass
