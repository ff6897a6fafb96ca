// The stages of an instance: each one takes over the rows of the stage before it, runs them through its layers, and
// hands them on. Rank r of a stage takes from rank r of the one before; all ranks of a stage have the same rows.
#include "src/engine/forward_buffers.hpp"

namespace windlass {
namespace {

std::span<float> floats_of(float* data, std::int64_t stride, int count) {
  return {data, std::size_t(stride) * std::size_t(count)};
}

}  // namespace

ForwardPass::Rows ForwardPass::stream(Batch const& batch) const {
  Buffers& b = *buffers_;
  return {b.x.data() + batch.first_row * b.hidden_stride, b.hidden_stride, int(batch.tokens.size())};
}

void ForwardPass::run_rows(Batch const& batch, std::span<LayerGroup const> groups) {
  if (!pipeline().is_first()) take_over(stream(batch));
  rotations(batch);
  for (int layer = model_.shard.layers.begin; layer < model_.shard.layers.end; ++layer) run_layer(batch, groups, layer);
  if (!pipeline().is_last()) hand_on(stream(batch));
}

void ForwardPass::take_over(Rows const& rows) {
  instance_.receive(instance_.instance_rank() - group_.degree(),
                    std::as_writable_bytes(floats_of(rows.data, rows.stride, rows.count)));
}

void ForwardPass::hand_on(Rows const& rows) {
  operations_.memory->wait(queue_);  // they are read here
  instance_.send(instance_.instance_rank() + group_.degree(),
                 std::as_bytes(floats_of(rows.data, rows.stride, rows.count)));
}

/// `rows` on the leader and on the first rank of the last stage.
void ForwardPass::logits_to_leader(Rows const& rows) {
  int const last = instance_.degree() - group_.degree();
  if (instance_.instance_rank() != 0 && instance_.instance_rank() != last) return;
  auto const logits = floats_of(rows.data, rows.stride, rows.count);
  if (instance_.instance_rank() == 0) return instance_.receive(last, std::as_writable_bytes(logits));
  operations_.memory->wait(queue_);
  instance_.send(0, std::as_bytes(logits));
}

}  // namespace windlass
