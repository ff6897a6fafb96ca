/// Writing one panel of a PackedMatrix from sixteen rows of file bytes.
#pragma once

#include <array>

#include "kernels/pack.hpp"

namespace windlass {

struct PanelRow {
  std::byte const* bytes = nullptr;  ///< one row as in the file; null: a zero row
  RowSource const* source = nullptr;
  std::int64_t source_row = 0;  ///< in the file's matrix, for scales
};
using PanelRows = std::array<PanelRow, panel_rows>;

/// Writes panel `panel` of `matrix`, whose bytes start at `to` and are zero.
void pack_panel(PackedMatrix const& matrix, std::byte* to, PanelRows const& rows);

}  // namespace windlass
