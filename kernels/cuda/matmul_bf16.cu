// Products of bf16 on tensor cores: a warp computes one panel (16 outputs, the left side) of one or four tiles of 8
// tokens (the right side). The packed layout is the fragments' own: every load is a word of two K, used as it is. Bound
// by memory for few tokens, by loads from the caches for many.
//
// Order of sums: within a slice one product of 16 K after the other, in ascending K; each adds as the device's tensor
// core does, for every output alike.
#include "kernels/cuda/mma.hpp"
#include "kernels/cuda/product.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

constexpr int tile_tokens = 8, depth = 16;

template <int tiles>
struct MatMulBf16Kernel {
  static constexpr char const* name = "matmul_bf16";
  static constexpr int threads = 128, sums_per_thread = 4 * tiles;
  Product product;

  WINDLASS_DEVICE void add_group(Thread const& thread, int panel, int group, float (&sums)[sums_per_thread]) const {
    int const g = thread.lane() / 4, q = thread.lane() % 4;
    auto const* const words = reinterpret_cast<std::uint32_t const*>(product.weight.group(panel, group));
    auto const* const x = static_cast<std::uint32_t const*>(product.x.values);
    for (int step = 0; step < group_size / depth; ++step) {
      std::uint32_t const* const w = words + (step * 8 + q) * panel_rows + g;
      std::uint32_t const left[4] = {w[0], w[8], w[4 * panel_rows], w[4 * panel_rows + 8]};
      for (int tile = 0; tile < tiles; ++tile) {
        int const token = (thread.part() * tiles + tile) * tile_tokens + g;
        std::uint32_t right[2] = {0, 0};
        if (token < product.tokens) {
          std::uint32_t const* const row =
              x + (token * product.x.stride + group * group_size) / 2 + step * (depth / 2) + q;
          right[0] = row[0];
          right[1] = row[4];
        }
        float part[4];
        for (int i = 0; i < 4; ++i) part[i] = sums[tile * 4 + i];
        multiply_bf16(thread, part, left, right);
        for (int i = 0; i < 4; ++i) sums[tile * 4 + i] = part[i];
      }
    }
  }

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    int const panel = thread.block() * (thread.count() / 32) + thread.warp();
    if (panel >= product.weight.panels) return;  // the whole warp
    float sums[sums_per_thread];
    sum_slices(product, sums, thread.shared<float>() + thread.index(), thread.count(),
               [&](int group, float(&part)[sums_per_thread]) { add_group(thread, panel, group, part); });
    for (int i = 0; i < sums_per_thread; ++i) {
      int const token = (thread.part() * tiles + i / 4) * tile_tokens + thread.lane() % 4 * 2 + i % 2;
      product.finish(token, panel * panel_rows + thread.lane() / 4 + i % 4 / 2 * 8, sums[i]);
    }
  }
};

template <int tiles>
void launch_tiles(MatMul const& op, Queue const& queue) {
  using Kernel = MatMulBf16Kernel<tiles>;
  int const warps = warps_for_panels(op.weight->panels());
  launch(Kernel{Product(op)},
         {.blocks = parts_of(op.weight->panels(), warps),
          .parts = parts_of(op.tokens, tiles * tile_tokens),
          .threads = warps * 32,
          .shared_bytes = waiting_bytes(op.slices.count, Kernel::sums_per_thread, warps * 32)},
         queue);
}

}  // namespace

void matmul_bf16(MatMul const& op, Queue const& queue) {
  op.tokens <= tile_tokens ? launch_tiles<1>(op, queue) : launch_tiles<4>(op, queue);
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
