// The level `amx`: avx512_bf16 with int8 products on AMX tiles. Dot products of int8 codes are exact and everything
// else is done as there, so the bits are those of avx512_bf16. Compiled a second time with emulated tiles, for tests on
// machines that have none.
#include <algorithm>
#include <cstring>

#include "kernels/matmul.hpp"
#include "kernels/x86/level_operations.hpp"
#include "kernels/x86/matmul_tile.hpp"
#include "kernels/x86/matmul_walk.hpp"
#include "kernels/x86/tile_unit.hpp"
#include "src/core/error.hpp"

namespace windlass::x86 {
namespace WINDLASS_BASE_LEVEL {
extern Operations const operations;
}

namespace WINDLASS_LEVEL {
namespace {

constexpr int fewest_tokens = tile_tokens;  ///< below, a product is bound by memory, and dot instructions keep up
constexpr int most_groups = 1024;           ///< K up to 32,768 on tiles: 1 MiB of unpacked codes on the stack
constexpr std::size_t unpacked_bytes = 512;

/// Up to two panels' codes, one byte each, as tiles read them.
template <WeightFormat Format>
class PanelCodes {
 public:
  void unpack(PackedMatrix const& weight, int panel, int panels) {
    first_ = weight.group(panel, 0);
    group_bytes_ = weight.group_bytes();
    groups_ = weight.groups();
    if constexpr (narrow_codes<Format>)
      for (int g = 0; g < panels * groups_; ++g) {
        Bytes64 codes[vectors_per_group];
        load_codes<Format>(first_ + std::size_t(g) * group_bytes_, codes);
        std::memcpy(unpacked_ + std::size_t(g) * unpacked_bytes, codes, sizeof codes);
      }
  }
  std::byte const* group(int p, int g) const {
    std::size_t const at = std::size_t(p) * std::size_t(groups_) + std::size_t(g);
    if constexpr (narrow_codes<Format>) return unpacked_ + at * unpacked_bytes;
    return first_ + at * group_bytes_;
  }

 private:
  std::byte const* first_ = nullptr;
  std::size_t group_bytes_ = 0;
  int groups_ = 0;
  alignas(64) std::byte unpacked_[narrow_codes<Format> ? tile_panels * most_groups * unpacked_bytes : 64];
};

/// One slice of 8 tokens by Panels panels. The dot products of a group are scaled while the next ones are under way.
template <WeightFormat Format, ScaleType Scale, int Panels>
void add_slice(Tile const& tile, PanelCodes<Format> const& codes, TileUnit const& unit, Floats* sums) {
  using Vectors = Int8Slice<Format, Scale>;
  Floats acc[Panels][tile_tokens];
  for (auto& panel : acc)
    for (Floats& a : panel) a = zero();
  Int8Rows x(tile), scaled(tile);
  TileDots dots[2];
  std::byte const* weights = tile.op.weight->group(tile.panel, tile.first_group);
  std::size_t const panel_bytes = Vectors::group_bytes * std::size_t(tile.op.weight->groups());
  for (int g = 0; g <= tile.group_count; ++g) {
    if (g < tile.group_count) {
      std::byte const* at[Panels];
      for (int p = 0; p < Panels; ++p) at[p] = codes.group(p, tile.first_group + g);
      unit.dots<Panels>(x.codes, at, dots[g % 2]);
      x.next_group();
    }
    if (g == 0) continue;
    for (int p = 0; p < Panels; ++p) {
      Ints sums_of[tile_tokens];
      for (int t = 0; t < tile_tokens; ++t)
        sums_of[t] = add_ints(load_ints(dots[(g - 1) % 2].of[p][t]), Vectors::zero_times_sum(scaled, t));
      Vectors::scale(weights + std::size_t(p) * panel_bytes, scaled, sums_of, acc[p]);
    }
    weights += Vectors::group_bytes;
    scaled.next_group();
  }
  for (int p = 0; p < Panels; ++p)
    for (int t = 0; t < tile_tokens; ++t) sums[p * tile_tokens + t] = acc[p][t];
}

template <WeightFormat Format, ScaleType Scale, int Panels>
void run_panels(MatMul const& op, int panel, int begin, int end) {
  TileUnit const unit;
  PanelCodes<Format> codes;
  codes.unpack(*op.weight, panel, Panels);
  for (int token = begin; token < end; token += tile_tokens)
    walk_slices<tile_tokens, Panels>(
        op, {panel, token, std::min(tile_tokens, end - token)},
        [&](Tile const& tile, Floats* sums) { add_slice<Format, Scale, Panels>(tile, codes, unit, sums); });
}

/// Work is cut into (pair of panels, block of tokens).
template <WeightFormat Format, ScaleType Scale>
void run_tiles(MatMul const& op, Queue const& queue) {
  int const panels = op.weight->panels(), pairs = (panels + tile_panels - 1) / tile_panels;
  int const blocks = (op.tokens + tokens_per_block - 1) / tokens_per_block;
  queue.team->for_parts(std::int64_t(pairs) * blocks, 1, [&](std::int64_t first, std::int64_t last, int) {
    for (std::int64_t part = first; part < last; ++part) {
      int const begin = int(part / pairs) * tokens_per_block, end = std::min(op.tokens, begin + tokens_per_block);
      int const panel = int(part % pairs) * tile_panels;
      if (panel + 1 < panels)
        run_panels<Format, Scale, 2>(op, panel, begin, end);
      else
        run_panels<Format, Scale, 1>(op, panel, begin, end);
    }
  });
}

template <WeightFormat Format>
void run_scaled(MatMul const& op, Queue const& queue) {
  if (op.weight->scale_type == ScaleType::f16) return run_tiles<Format, ScaleType::f16>(op, queue);
  run_tiles<Format, ScaleType::f32>(op, queue);
}

}  // namespace

void matmul(MatMul const& op, Queue const& queue) {
  PackedMatrix const& weight = *op.weight;
  bool const on_tiles = op.x.format == ActivationFormat::int8 && weight.scale_group == group_size &&
                        op.tokens >= fewest_tokens && weight.groups() <= most_groups;
  if (!on_tiles) return WINDLASS_BASE_LEVEL::operations.matmul(op, queue);
  switch (weight.format) {
    case WeightFormat::q8:
      return run_scaled<WeightFormat::q8>(op, queue);
    case WeightFormat::q8_min:
      return run_scaled<WeightFormat::q8_min>(op, queue);
    case WeightFormat::q4:
      return run_scaled<WeightFormat::q4>(op, queue);
    case WeightFormat::q4_min:
      return run_scaled<WeightFormat::q4_min>(op, queue);
    case WeightFormat::f32:
    case WeightFormat::f16:
    case WeightFormat::bf16:
      ensure(false, "int8 activations meet quantised weights only");
  }
}

/// The base level's table with this product in it.
Operations make_operations() {
  Operations table = WINDLASS_BASE_LEVEL::operations;
  table.arithmetic = table.name;
  table.name = WINDLASS_LEVEL_NAME;
  table.matmul = matmul;
  return table;
}

}  // namespace WINDLASS_LEVEL
}  // namespace windlass::x86
