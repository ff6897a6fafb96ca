#include <cstring>

#include "kernels/moe.hpp"

namespace windlass::reference {

void gather_rows(GatherRows const& op, Queue const&) {
  for (int i = 0; i < op.count; ++i)
    std::memcpy(op.y + i * op.y_stride, op.x + op.rows[i] * op.x_stride, sizeof(float) * std::size_t(op.width));
}

}  // namespace windlass::reference
