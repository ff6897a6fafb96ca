// One thread per value of a row. Bound by memory.
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/table.hpp"
#include "kernels/cuda/weight_view.hpp"
#include "kernels/embedding.hpp"

namespace windlass::WINDLASS_CUDA_SPACE {
namespace {

struct EmbeddingKernel {
  static constexpr char const* name = "embedding";
  static constexpr int threads = 256;
  WeightView table;
  float* y;  // [tokens, y_stride]
  std::int64_t y_stride;
  TokenId const* tokens;
  int hidden;
  float scale;

  WINDLASS_DEVICE void operator()(Thread const& thread) const {
    int const h = thread.part() * threads + thread.index(), row = int(tokens[thread.block()]);
    if (h >= hidden) return;
    std::byte const* const group = table.group(row / panel_rows, h / group_size);
    y[thread.block() * y_stride + h] = scale * table.value(group, row % panel_rows, h % group_size);
  }
};

}  // namespace

void embedding(Embedding const& op, Queue const& queue) {
  if (op.tokens.empty()) return;
  launch(EmbeddingKernel{WeightView(*op.table), op.y, op.y_stride, upload(op.tokens), op.table->columns, op.scale},
         {.blocks = std::int64_t(op.tokens.size()),
          .parts = parts_of(op.table->columns, EmbeddingKernel::threads),
          .threads = EmbeddingKernel::threads},
         queue);
}

}  // namespace windlass::WINDLASS_CUDA_SPACE
