/// The walk over K that all tiles of a matrix product share. Included by matmul.cpp and amx.cpp only.
#pragma once

#include "kernels/x86/matmul_tile.hpp"

namespace windlass::x86::WINDLASS_LEVEL {

/// Where a tile's results go: `rows` tokens from `token` on, panels from `panel` on.
struct TilePlace {
  int panel, token, rows;
};

template <int Tokens, int Panels>
void finish_tile(MatMul const& op, TilePlace const& place, Floats const* sums) {
  for (int p = 0; p < Panels; ++p)
    for (int t = 0; t < place.rows; ++t) {
      Floats sum = sums[p * Tokens + t];
      int const row = (place.panel + p) * lanes;
      if (op.bias) sum = add(sum, load(op.bias + row));
      float* const y = op.y + (place.token + t) * op.y_stride + row;
      store(y, op.accumulate == Accumulate::add_to_y ? add(load(y), sum) : sum);
    }
}

/// Walks the tree of slices with a stack of partial sums; add_slice(tile, sums) fills Tokens * Panels of them.
template <int Tokens, int Panels, class AddSlice>
void walk_slices(MatMul const& op, TilePlace const& place, AddSlice const& add_slice) {
  Floats stack[max_slice_levels][Tokens * Panels];
  int depth = 0;
  for (int s = 0; s < op.slices.count; ++s) {
    int const first = op.slices.borders[std::size_t(s)], end = op.slices.borders[std::size_t(s) + 1];
    add_slice(Tile{op, place.panel, place.token, first, end - first}, stack[depth]);
    ++depth;
    for (int merges = merges_after(s, op.slices.count); merges > 0; --merges, --depth)
      for (int i = 0; i < Tokens * Panels; ++i) stack[depth - 2][i] = add(stack[depth - 2][i], stack[depth - 1][i]);
  }
  finish_tile<Tokens, Panels>(op, place, stack[0]);
}

}  // namespace windlass::x86::WINDLASS_LEVEL
