#include "src/engine/tensor_group.hpp"

namespace windlass {

TensorGroup::TensorGroup(Collective& collective, Operations const& operations, Queue const& queue)
    : collective_(collective), operations_(operations), queue_(queue), bytes_(std::size_t(collective.degree())) {}

int TensorGroup::rows_per_exchange(std::size_t row_bytes) const {
  std::size_t const rows = collective_.capacity_bytes() / row_bytes;
  ensure(rows > 0, "a row does not fit into what ranks exchange at a time");
  return int(std::min<std::size_t>(rows, 1 << 20));
}

void TensorGroup::product(MatMul const& op, SlicePlan const& plan) {
  if (alone()) {
    MatMul whole = op;
    whole.slices = plan.slices;
    return operations_.matmul(whole, queue_);
  }
  std::size_t const row_bytes =
      std::size_t(op.weight->panels()) * panel_rows * sizeof(float) * std::size_t(plan.most_roots);
  int const most = rows_per_exchange(row_bytes);
  int const block = most - most % activation_tile;
  ensure(block > 0, "a tile of rows does not fit into what ranks exchange at a time");
  for (int first = 0; first < op.tokens; first += block) {
    MatMul part = op;
    part.y += first * op.y_stride;
    part.x = op.x.from_token(first);
    part.tokens = std::min(block, op.tokens - first);
    product_of_rows(part, plan);
  }
}

void TensorGroup::product_of_rows(MatMul const& op, SlicePlan const& plan) {
  std::int64_t const stride = std::int64_t(op.weight->panels()) * panel_rows, floats = stride * op.tokens;
  MatMul own = op;
  own.y = reinterpret_cast<float*>(collective_.outbox());
  own.y_stride = stride;
  own.bias = nullptr;
  own.accumulate = Accumulate::store;
  for (SlicePlan::Root const& root : plan.roots) {
    if (root.rank != rank()) continue;
    own.slices = part_of(plan.slices, root.slices, plan.own.begin);
    operations_.matmul(own, queue_);
    own.y += floats;
  }
  for (std::size_t i = 0; i < bytes_.size(); ++i)
    bytes_[i] = std::size_t(plan.roots_of_rank[i]) * std::size_t(floats) * sizeof(float);
  auto const shown = collective_.exchange(bytes_);
  partials_.clear();
  for (SlicePlan::Root const& root : plan.roots)
    partials_.push_back(reinterpret_cast<float const*>(shown[std::size_t(root.rank)]) + root.index * floats);
  operations_.sum_partials({.y = op.y,
                            .y_stride = op.y_stride,
                            .partials = partials_,
                            .merges = plan.merges,
                            .stride = stride,
                            .bias = op.bias,
                            .tokens = op.tokens,
                            .width = op.weight->rows,
                            .accumulate = op.accumulate},
                           queue_);
}

std::span<std::byte const* const> TensorGroup::show(Rows const& rows, int first, int most) {
  for (std::size_t i = 0; i < bytes_.size(); ++i)
    bytes_[i] = std::size_t(std::clamp(rows.rows[i] - first, 0, most)) * std::size_t(rows.widths[i]) * sizeof(float);
  int const width = rows.widths[std::size_t(rank())];
  int const count = std::clamp(rows.rows[std::size_t(rank())] - first, 0, most);
  auto* const out = reinterpret_cast<float*>(collective_.outbox());
  queue_.team->for_parts(count, 16, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row)
      std::memcpy(out + row * width, rows.own + (first + row) * rows.stride, std::size_t(width) * sizeof(float));
  });
  return collective_.exchange(bytes_);
}

}  // namespace windlass
