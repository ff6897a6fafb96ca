// The mixture of experts of a forward pass. Experts lie whole on ranks; a token's expert outputs are added in ascending
// order of experts, whoever computed them.
#include <algorithm>

#include "src/engine/forward_buffers.hpp"

namespace windlass {

void ForwardPass::experts(LayerWeights const& weights, Rows const& y) {
  Buffers& b = *buffers_;
  ModelSpec const& spec = model_.spec;
  Rows const x{b.normed.data(), b.hidden_stride, y.count};
  Rows const router{b.router_logits.data(), round_up(spec.experts, panel_rows), y.count};
  encode(x, weights.router);
  product(weights.router, {}, Slices::whole(weights.router.groups()), router, Accumulate::store);
  operations_.route_experts({.experts = b.chosen.data(),
                             .weights = b.expert_weights.data(),
                             .logits = router.data,
                             .stride = router.stride,
                             .tokens = y.count,
                             .num_experts = spec.experts,
                             .chosen = spec.experts_per_token,
                             .normalization = spec.router_normalization},
                            queue_);
  operations_.memory->wait(queue_);  // the host reads the choice
  if (spec.shared_expert_ffn > 0) feed_forward(weights.shared_expert, shared_plan_, {x, y, Accumulate::add_to_y});
  if (!group_.alone()) return experts_of_all_ranks(weights, y);
  for (int expert = 0; expert < spec.experts; ++expert)  // ascending: one order of sums for every token
    if (int const count = rows_of_expert(expert, y.count); count > 0) {
      one_expert(weights.experts[std::size_t(expert)], count, b.expert_y.data());
      combine_expert(count, b.expert_y.data(), y);
    }
}

/// Fills expert_rows and row_weights with the tokens that chose `expert`; returns how many.
int ForwardPass::rows_of_expert(int expert, int tokens) {
  Buffers& b = *buffers_;
  int const per_token = model_.spec.experts_per_token;
  int count = 0;
  for (int i = 0; i < tokens * per_token; ++i) {
    if (b.chosen[std::size_t(i)] != expert) continue;
    b.expert_rows[std::size_t(count)] = i / per_token;
    b.row_weights[std::size_t(count++)] = b.expert_weights[std::size_t(i)];
  }
  return count;
}

void ForwardPass::one_expert(FeedForward const& network, int count, float* out) {
  Buffers& b = *buffers_;
  Rows const in{b.expert_x.data(), b.hidden_stride, count};
  operations_.gather_rows({.y = in.data,
                           .x = b.normed.data(),
                           .y_stride = in.stride,
                           .x_stride = b.hidden_stride,
                           .rows = b.expert_rows.data(),
                           .count = count,
                           .width = model_.spec.hidden},
                          queue_);
  feed_forward(network, expert_plan_, {in, {out, b.hidden_stride, count}, Accumulate::store});
}

void ForwardPass::combine_expert(int count, float const* out, Rows const& y) {
  Buffers& b = *buffers_;
  operations_.combine_expert({.y = y.data,
                              .x = out,
                              .y_stride = y.stride,
                              .x_stride = b.hidden_stride,
                              .rows = b.expert_rows.data(),
                              .weights = b.row_weights.data(),
                              .count = count,
                              .width = model_.spec.hidden},
                             queue_);
}

/// Every rank computes its experts; their outputs lie one after the other in expert_y, ascending, on all ranks.
void ForwardPass::experts_of_all_ranks(LayerWeights const& weights, Rows const& y) {
  Buffers& b = *buffers_;
  int const experts = model_.spec.experts;
  std::vector<int> first_row(std::size_t(experts) + 1), rank_rows,
      widths(std::size_t(group_.degree()), model_.spec.hidden);
  for (int expert = 0; expert < experts; ++expert) {
    int const count = rows_of_expert(expert, y.count);
    first_row[std::size_t(expert) + 1] = first_row[std::size_t(expert)] + count;
    if (count > 0 && model_.shard.experts.contains(expert))
      one_expert(weights.experts[std::size_t(expert)], count,
                 b.expert_y.data() + first_row[std::size_t(expert)] * b.hidden_stride);
  }
  auto const first_of = [&](int rank) { return first_row[std::size_t(shards_[std::size_t(rank)].experts.begin)]; };
  for (Shard const& shard : shards_)
    rank_rows.push_back(first_row[std::size_t(shard.experts.end)] - first_row[std::size_t(shard.experts.begin)]);
  float const* const own = b.expert_y.data() + first_of(group_.rank()) * b.hidden_stride;
  group_.share({.own = own, .stride = b.hidden_stride, .rows = rank_rows, .widths = widths},
               [&](int rank, int first, int count, float const* data) {
                 if (rank == group_.rank()) return;
                 float* const to = b.expert_y.data() + (first_of(rank) + first) * b.hidden_stride;
                 copy_rows(data, {to, b.hidden_stride, count}, model_.spec.hidden);
               });
  for (int expert = 0; expert < experts; ++expert)
    if (int const count = rows_of_expert(expert, y.count); count > 0)
      combine_expert(count, b.expert_y.data() + first_row[std::size_t(expert)] * b.hidden_stride, y);
}

}  // namespace windlass
