// From the last layer's rows to logits on the leader: the final norm and the head, which the last stage holds.
#include <algorithm>

#include "src/engine/forward_buffers.hpp"

namespace windlass {

/// The leader gets what the last stage computes.
void ForwardPass::run_logits(Batch const& batch, std::function<void(LogitBlock const&)> const& sink) {
  Buffers& b = *buffers_;
  bool const leads = instance_.instance_rank() == 0;
  if (!leads && !pipeline().is_last()) return;
  int const wanted = int(batch.logit_rows.size());
  for (int first = 0; first < wanted; first += logit_block_rows) {
    int const count = std::min(logit_block_rows, wanted - first);
    Rows const out{b.logits.data(), b.logits_stride, count};
    if (pipeline().is_last())
      compute_logits(std::span(batch.logit_rows).subspan(std::size_t(first), std::size_t(count)));
    if (pipeline().stages > 1) logits_to_leader(out);
    if (!leads) continue;
    if (batch.normalizers == Normalizers::compute || model_.spec.logit_soft_cap > 0)
      operations_.log_normalizer({.normalizer = b.normalizers.data(),
                                  .x = out.data,
                                  .stride = out.stride,
                                  .rows = count,
                                  .vocab = model_.spec.vocab,
                                  .soft_cap = float(model_.spec.logit_soft_cap)},
                                 queue_);
    operations_.memory->wait(queue_);  // the host reads the logits
    sink({.first = first,
          .count = count,
          .logits = out.data,
          .stride = out.stride,
          .normalizers = b.normalizers.data()});
  }
}

/// On the stage's rank 0.
void ForwardPass::compute_logits(std::span<std::int32_t const> batch_rows) {
  Buffers& b = *buffers_;
  int const count = int(batch_rows.size());
  Rows const rows{b.gathered.data(), b.hidden_stride, count}, own{b.own_logits.data(), b.own_logits_stride, count};
  Rows const out{b.logits.data(), b.logits_stride, count};
  operations_.gather_rows({.y = rows.data,
                           .x = b.x.data(),
                           .y_stride = rows.stride,
                           .x_stride = b.hidden_stride,
                           .rows = batch_rows.data(),
                           .count = count,
                           .width = model_.spec.hidden},
                          queue_);
  norm(rows, model_.weights.final_norm, rows, Accumulate::store);
  encode(rows, model_.weights.head);
  product(model_.weights.head, {}, Slices::whole(model_.weights.head.groups()), group_.alone() ? out : own,
          Accumulate::store);
  if (!group_.alone()) logits_of_all_ranks(count);
}

/// Rank 0 puts the parts of the vocabulary together.
void ForwardPass::logits_of_all_ranks(int rows) {
  Buffers& b = *buffers_;
  std::vector<int> counts(shards_.size(), rows), widths;
  for (Shard const& shard : shards_) widths.push_back(shard.vocab.size());
  group_.share({.own = b.own_logits.data(), .stride = b.own_logits_stride, .rows = counts, .widths = widths},
               [&](int rank, int first, int count, float const* data) {
                 if (group_.rank() != 0) return;
                 float* const to = b.logits.data() + first * b.logits_stride + shards_[std::size_t(rank)].vocab.begin;
                 copy_rows(data, {to, b.logits_stride, count}, widths[std::size_t(rank)]);
               });
}

}  // namespace windlass
