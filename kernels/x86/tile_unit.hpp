/// AMX: the processor's tile registers, or the same arithmetic in plain code. Included by amx.cpp only.
#pragma once

#include <immintrin.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "kernels/activations.hpp"

namespace windlass::x86::WINDLASS_LEVEL {

constexpr int tile_tokens = activation_tile, tile_outputs = 16, tile_panels = 2;

/// Dot products of one K group: [panel][token][output].
struct alignas(64) TileDots {
  std::int32_t of[tile_panels][tile_tokens][tile_outputs];
};

/// Local to the thread that makes one, which may use the tile registers while it lives.
/// dots() sets out.of[p][t][n] = sum over k < 32 of x[32 t + k] (signed) * code k of output n of panel p (unsigned);
/// codes[p] is 512 bytes [k / 4][n][k % 4]. Exact.
class TileUnit {
 public:
#if defined(WINDLASS_EMULATED_TILES)
  template <int Panels>
  void dots(std::int8_t const* x, std::byte const* const (&codes)[Panels], TileDots& out) const {
    for (int p = 0; p < Panels; ++p)
      for (int t = 0; t < tile_tokens; ++t)
        for (int n = 0; n < tile_outputs; ++n) {
          std::int32_t sum = 0;
          for (int k = 0; k < group_size; ++k)
            sum += x[t * group_size + k] * int(codes[p][(k / 4 * tile_outputs + n) * 4 + k % 4]);
          out.of[p][t][n] = sum;
        }
  }
#else
  TileUnit() {
    Shapes const shapes;
    _tile_loadconfig(&shapes);
  }
  ~TileUnit() { _tile_release(); }
  TileUnit(TileUnit const&) = delete;
  TileUnit& operator=(TileUnit const&) = delete;

  template <int Panels>
  void dots(std::int8_t const* x, std::byte const* const (&codes)[Panels], TileDots& out) const {
    std::atomic_signal_fence(std::memory_order_seq_cst);  // GCC does not know that tile loads read memory
    _tile_loadd(0, x, group_size);
    _tile_loadd(1, codes[0], 64);
    _tile_zero(3);
    _tile_dpbsud(3, 0, 1);
    _tile_stored(3, out.of[0], 64);
    if constexpr (Panels == 2) {
      _tile_loadd(2, codes[1], 64);
      _tile_zero(4);
      _tile_dpbsud(4, 0, 2);
      _tile_stored(4, out.of[1], 64);
    }
  }

 private:
  /// The operand of LDTILECFG: tile 0 is 8 tokens of 32 codes, 1 and 2 are 8 rows of weights, 3 and 4 the results.
  struct alignas(64) Shapes {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {group_size, 64, 64, 64, 64};
    std::uint8_t rows[16] = {tile_tokens, group_size / 4, group_size / 4, tile_tokens, tile_tokens};
  };
#endif
};

}  // namespace windlass::x86::WINDLASS_LEVEL
