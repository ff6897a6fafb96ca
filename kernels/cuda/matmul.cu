// Products with float32 activations: a thread block computes one panel (16 outputs) of 32 tokens, a thread one output
// of four tokens; a group of weights is widened once for all of them. Bound by the fused multiply-adds.
#include "kernels/cuda/product.hpp"
#include "kernels/cuda/table.hpp"
#include "kernels/matmul.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

struct MatMulF32Kernel {
  static constexpr char const* name = "matmul_f32";
  static constexpr int threads = 128, per_thread = 4, block_tokens = threads / panel_rows * per_thread;
  static constexpr int x_stride = group_size + 1;  ///< so that tokens lie in unlike banks
  static constexpr int w_floats = group_size * panel_rows, x_floats = block_tokens * x_stride;
  Product product;

  WINDLASS_DEVICE void load(Thread const& thread, int group, float* w, float* x) const {
    std::byte const* const packed = product.weight.group(thread.block(), group);
    for (int i = thread.index(); i < w_floats; i += threads)
      w[i] = product.weight.value(packed, i % panel_rows, i / panel_rows);
    int const first_token = thread.part() * block_tokens;
    for (int i = thread.index(); i < block_tokens * group_size; i += threads) {
      int const t = i / group_size, k = i % group_size, token = first_token + t;
      float const* const row = static_cast<float const*>(product.x.values) + token * product.x.stride;
      x[t * x_stride + k] = token < product.tokens ? row[group * group_size + k] : 0;
    }
  }

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    float* const w = thread.shared<float>();  // [32, 16]
    float* const x = w + w_floats;            // [block_tokens, x_stride]
    int const r = thread.index() % panel_rows, lane = thread.index() / panel_rows;
    float sums[per_thread];
    sum_slices(product, sums, x + x_floats + thread.index(), threads, [&](int group, float(&sums)[per_thread]) {
      thread.sync();
      load(thread, group, w, x);
      thread.sync();
      for (int k = 0; k < group_size; ++k)
        for (int i = 0; i < per_thread; ++i)
          sums[i] = fmaf(x[(lane * per_thread + i) * x_stride + k], w[k * panel_rows + r], sums[i]);
    });
    for (int i = 0; i < per_thread; ++i)
      product.finish(thread.part() * block_tokens + lane * per_thread + i, thread.block() * panel_rows + r, sums[i]);
  }
};

}  // namespace

void matmul_f32(MatMul const& op, Queue const& queue) {
  using Kernel = MatMulF32Kernel;
  launch(Kernel{Product(op)},
         {.blocks = op.weight->panels(),
          .parts = parts_of(op.tokens, Kernel::block_tokens),
          .threads = Kernel::threads,
          .shared_bytes = std::size_t(Kernel::w_floats + Kernel::x_floats) * sizeof(float) +
                          waiting_bytes(op.slices.count, Kernel::per_thread, Kernel::threads)},
         queue);
}

void matmul(MatMul const& op, Queue const& queue) {
  switch (op.x.format) {
    case ActivationFormat::f32:
      return matmul_f32(op, queue);
    case ActivationFormat::bf16:
      return matmul_bf16(op, queue);
    case ActivationFormat::int8:
      return matmul_int8(op, queue);
  }
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
