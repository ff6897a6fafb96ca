// Operations whose every value is exact or rounded once: `reference` row by row, rows in parallel.
#include <algorithm>
#include <vector>

#include "kernels/kokkos/backend.hpp"
#include "kernels/kokkos/parallel.hpp"

namespace windlass::kokkos {

void encode_activations(EncodeActivations const& op, Queue const& queue) {
  std::int64_t const value_bytes = op.out.format == ActivationFormat::f32    ? 4
                                   : op.out.format == ActivationFormat::bf16 ? 2
                                                                             : 1;
  // In whole tiles of int8 rows: those lie one after the other in every format.
  int const tiles = round_to_tile(op.tokens) / activation_tile;
  for_each(queue, "windlass::encode_activations::out", tiles, [&](std::int64_t i) {
    std::int64_t const token = i * activation_tile;
    EncodeActivations tile = op;
    tile.x += token * op.x_stride;
    tile.out.values = static_cast<std::byte*>(op.out.values) + token * op.out.stride * value_bytes;
    if (op.out.format == ActivationFormat::int8) {
      std::int64_t const factor = op.out.factor_index(token, 0);
      tile.out.scales += factor;
      tile.out.scaled_sums += factor;
      tile.out.sums += factor;
    }
    tile.tokens = std::min(activation_tile, int(op.tokens - token));
    reference::encode_activations(tile, queue);
  });
}

void embedding(Embedding const& op, Queue const& queue) {
  for_each(queue, "windlass::embedding::y", std::int64_t(op.tokens.size()), [&](std::int64_t token) {
    Embedding row = op;
    row.y += token * op.y_stride;
    row.tokens = op.tokens.subspan(std::size_t(token), 1);
    reference::embedding(row, queue);
  });
}

void route_experts(RouteExperts const& op, Queue const& queue) {
  for_each(queue, "windlass::route_experts::experts", op.tokens, [&](std::int64_t token) {
    RouteExperts row = op;
    row.experts += token * op.chosen;
    row.weights += token * op.chosen;
    row.logits += token * op.stride;
    row.tokens = 1;
    reference::route_experts(row, queue);
  });
}

void gather_rows(GatherRows const& op, Queue const& queue) {
  for_each(queue, "windlass::gather_rows::y", op.count, [&](std::int64_t i) {
    GatherRows row = op;
    row.y += i * op.y_stride;
    row.rows += i;
    row.count = 1;
    reference::gather_rows(row, queue);
  });
}

void combine_expert(CombineExpert const& op, Queue const& queue) {
  for_each(queue, "windlass::combine_expert::y", op.count, [&](std::int64_t i) {
    CombineExpert row = op;
    row.x += i * op.x_stride;
    row.rows += i;
    row.weights += i;
    row.count = 1;
    reference::combine_expert(row, queue);
  });
}

void sum_partials(SumPartials const& op, Queue const& queue) {
  for_each(queue, "windlass::sum_partials::y", op.tokens, [&](std::int64_t token) {
    std::vector<float const*> partials;
    for (float const* const partial : op.partials) partials.push_back(partial + token * op.stride);
    SumPartials row = op;
    row.y += token * op.y_stride;
    row.partials = partials;
    row.tokens = 1;
    reference::sum_partials(row, queue);
  });
}

}  // namespace windlass::kokkos
