#include "kernels/embedding.hpp"

namespace windlass {

void reference::embedding(Embedding const& op, Queue const&) {
  for (std::size_t t = 0; t < op.tokens.size(); ++t)
    for (int h = 0; h < op.table->columns; ++h)
      op.y[std::int64_t(t) * op.y_stride + h] = op.scale * weight_at(*op.table, int(number(op.tokens[t])), h);
}

}  // namespace windlass
