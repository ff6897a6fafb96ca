// Products of 8- and 4-bit weights with int8 activations on tensor cores: a warp computes one panel (16 outputs, the
// left side) of one or four tiles of 8 tokens (the right side), group by group. Codes are dequantised in registers: the
// packed layout is the fragments' own. Dots are exact, and the float32 part is that of the contract, so the bits are
// those of the CPU backends. Bound by memory for few tokens.
#include "kernels/cuda/mma.hpp"
#include "kernels/cuda/product.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

/// How codes become bytes: minus their zero, as signed ones, where there is no minimum.
enum class Codes { bytes, bytes_with_min, nibbles, nibbles_with_min };

constexpr bool is_bytes(Codes codes) { return codes == Codes::bytes || codes == Codes::bytes_with_min; }
constexpr bool with_min(Codes codes) { return codes == Codes::bytes_with_min || codes == Codes::nibbles_with_min; }

constexpr std::uint32_t high_bits = 0x80808080u, eights = 0x08080808u, low_nibbles = 0x0f0f0f0fu, ones = 0x01010101u;

/// Four nibbles in four bytes.
template <Codes codes>
WINDLASS_DEVICE std::uint32_t bytes_of(std::uint32_t nibbles) {
  return with_min(codes) ? nibbles : ((nibbles | high_bits) - eights) ^ high_bits;
}

/// What a thread holds of a group of a panel: rows g and g + 8.
template <Codes codes>
struct GroupOfPanel {
  std::uint32_t left[4];
  float scale[2][2] = {}, min[2][2] = {};  // [part][row]

  WINDLASS_DEVICE GroupOfPanel(WeightView const& weight, std::byte const* group, int g, int q) {
    auto const* const words = reinterpret_cast<std::uint32_t const*>(group) + q * panel_rows + g;
    if constexpr (is_bytes(codes)) {
      std::uint32_t const flip = with_min(codes) ? 0 : high_bits;  // minus 128
      left[0] = words[0] ^ flip;
      left[1] = words[8] ^ flip;
      left[2] = words[4 * panel_rows] ^ flip;
      left[3] = words[4 * panel_rows + 8] ^ flip;
    } else {  // a word is columns 8 q to 8 q + 3 in the low nibbles, the next four in the high ones
      left[0] = bytes_of<codes>(words[0] & low_nibbles);
      left[1] = bytes_of<codes>(words[8] & low_nibbles);
      left[2] = bytes_of<codes>(words[0] >> 4 & low_nibbles);
      left[3] = bytes_of<codes>(words[8] >> 4 & low_nibbles);
    }
    for (int part = 0; part < group_size / weight.scale_group; ++part)
      for (int row = 0; row < 2; ++row) {
        scale[part][row] = weight.scale(group, part, g + row * 8);
        if (with_min(codes)) min[part][row] = weight.min(group, part, g + row * 8);
      }
  }
};

template <Codes codes, int tiles>
struct MatMulInt8Kernel {
  static constexpr char const* name = "matmul_int8";
  static constexpr int threads = 128, sums_per_thread = 4 * tiles;
  static constexpr Sign sign = with_min(codes) ? Sign::none : Sign::both;
  Product product;

  /// A tile's codes and factors of one group: this thread's column is token g, its sums are tokens 2 q and 2 q + 1.
  struct TileOfGroup {
    std::uint32_t right[2];
    float scale[2];
    int code_sum[2];
  };
  WINDLASS_DEVICE TileOfGroup tile_of(Thread const& thread, int tile, int group) const {
    int const g = thread.lane() / 4, q = thread.lane() % 4;
    std::int64_t const factor = product.x.factor_index(std::int64_t(tile) * activation_tile, group);
    auto const* const row = static_cast<std::uint32_t const*>(product.x.values) + (factor + g) * (group_size / 4);
    TileOfGroup of{};
    of.right[0] = is_bytes(codes) ? row[q] : row[2 * q];
    of.right[1] = is_bytes(codes) ? row[q + 4] : row[2 * q + 1];
    for (int i = 0; i < 2; ++i) {
      of.scale[i] = product.x.scales[factor + 2 * q + i];
      if (with_min(codes)) of.code_sum[i] = product.x.sums[factor + 2 * q + i];
    }
    return of;
  }

  /// acc = fma(scale_w, scale_x * dot, acc), then fma(min_w, scale_x * sum, acc).
  struct Part {
    float const (&scale)[2];
    float const (&min)[2];
    float const (&scale_x)[2];
  };
  static WINDLASS_DEVICE void add_part(Part const& part, int const (&dots)[4], int const (&code_sums)[4], float* sums) {
    for (int i = 0; i < 4; ++i) {
      int const row = i / 2, token = i % 2;
      sums[i] = fmaf(part.scale[row], part.scale_x[token] * float(dots[i]), sums[i]);
      if (with_min(codes)) sums[i] = fmaf(part.min[row], part.scale_x[token] * float(code_sums[i]), sums[i]);
    }
  }

  WINDLASS_DEVICE void add_group(Thread const& thread, int panel, int group, float (&sums)[sums_per_thread]) const {
    GroupOfPanel<codes> const w(product.weight, product.weight.group(panel, group), thread.lane() / 4,
                                thread.lane() % 4);
    int const all_tiles = (product.tokens + activation_tile - 1) / activation_tile;
    for (int i = 0; i < tiles; ++i) {
      int const tile = thread.part() * tiles + i;
      if (tile >= all_tiles) return;  // the whole warp
      TileOfGroup const x = tile_of(thread, tile, group);
      if (product.weight.scale_group == group_size) {
        int dots[4] = {};
        int const code_sums[4] = {x.code_sum[0], x.code_sum[1], x.code_sum[0], x.code_sum[1]};
        multiply_bytes_32<sign>(thread, dots, w.left, x.right);
        add_part({w.scale[0], w.min[0], x.scale}, dots, code_sums, sums + i * 4);
      } else if constexpr (is_bytes(codes)) {
        for (int part = 0; part < 2; ++part) add_half_group(thread, w, x, {part, sums + i * 4});
      }
    }
  }

  /// Scale groups of 16.
  struct Half {
    int part;
    float* sums;  // [4]
  };
  static WINDLASS_DEVICE void add_half_group(Thread const& thread, GroupOfPanel<codes> const& w, TileOfGroup const& x,
                                             Half const& half) {
    int dots[4] = {}, code_sums[4] = {};
    std::uint32_t const left[2] = {half.part == 0 ? w.left[0] : w.left[2], half.part == 0 ? w.left[1] : w.left[3]};
    std::uint32_t const right = half.part == 0 ? x.right[0] : x.right[1];
    multiply_bytes_16<sign>(thread, dots, left, right);
    if (with_min(codes)) multiply_bytes_16<Sign::both>(thread, code_sums, {ones, ones}, right);
    add_part({half.part == 0 ? w.scale[0] : w.scale[1], half.part == 0 ? w.min[0] : w.min[1], x.scale}, dots, code_sums,
             half.sums);
  }

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    int const panel = thread.block() * (thread.count() / 32) + thread.warp();
    if (panel >= product.weight.panels) return;  // the whole warp
    float sums[sums_per_thread];
    sum_slices(product, sums, thread.shared<float>() + thread.index(), thread.count(),
               [&](int group, float(&part)[sums_per_thread]) { add_group(thread, panel, group, part); });
    for (int i = 0; i < sums_per_thread; ++i) {
      int const token = (thread.part() * tiles + i / 4) * activation_tile + thread.lane() % 4 * 2 + i % 2;
      product.finish(token, panel * panel_rows + thread.lane() / 4 + i % 4 / 2 * 8, sums[i]);
    }
  }
};

template <Codes codes, int tiles>
void launch_tiles(MatMul const& op, Queue const& queue) {
  using Kernel = MatMulInt8Kernel<codes, tiles>;
  int const warps = warps_for_panels(op.weight->panels());
  launch(Kernel{Product(op)},
         {.blocks = parts_of(op.weight->panels(), warps),
          .parts = parts_of(op.tokens, tiles * activation_tile),
          .threads = warps * 32,
          .shared_bytes = waiting_bytes(op.slices.count, Kernel::sums_per_thread, warps * 32)},
         queue);
}

template <Codes codes>
void launch_codes(MatMul const& op, Queue const& queue) {
  op.tokens <= activation_tile ? launch_tiles<codes, 1>(op, queue) : launch_tiles<codes, 4>(op, queue);
}

}  // namespace

void matmul_int8(MatMul const& op, Queue const& queue) {
  switch (op.weight->format) {
    case WeightFormat::q8:
      return launch_codes<Codes::bytes>(op, queue);
    case WeightFormat::q8_min:
      return launch_codes<Codes::bytes_with_min>(op, queue);
    case WeightFormat::q4:
      return launch_codes<Codes::nibbles>(op, queue);
    case WeightFormat::q4_min:
      return launch_codes<Codes::nibbles_with_min>(op, queue);
    case WeightFormat::f32:
    case WeightFormat::f16:
    case WeightFormat::bf16:
      ensure(false, "int8 activations meet weights that are not quantised");
  }
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
