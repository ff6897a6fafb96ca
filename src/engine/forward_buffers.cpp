#include "src/engine/forward_buffers.hpp"

#include <algorithm>

namespace windlass {
namespace {

/// Widths of this rank's parts.
struct Widths {
  int attention, qkv, ffn;
};

Widths widths_of(Model const& model) {
  ModelSpec const& spec = model.spec;
  Shard const& shard = model.shard;
  int ffn = spec.experts > 0 ? spec.expert_ffn : 0;
  for (int const width : {spec.ffn, spec.shared_expert_ffn})
    if (width > 0) ffn = std::max(ffn, feed_forward_columns_of(width, shard.place).size());
  return {.attention = shard.heads.size() * spec.head_dim,
          .qkv = (shard.heads.size() + 2 * shard.kv_heads.size()) * spec.head_dim,
          .ffn = ffn};
}

}  // namespace

ForwardPass::Buffers::Buffers(Model const& model, ForwardLimits const& limits, TensorGroup const& group,
                              MachineMemory const& machine) {
  Memory const& memory = *machine.memory;
  ModelSpec const& spec = model.spec;
  Widths const widths = widths_of(model);
  hidden_stride = round_up(spec.hidden, group_size);
  qkv_stride = round_up(widths.qkv, group_size);
  attention_stride = round_up(widths.attention, group_size);
  gate_up_stride = 2 * round_up(widths.ffn, panel_rows);
  logits_stride = round_up(spec.vocab, panel_rows);
  own_logits_stride = round_up(model.shard.vocab.size(), panel_rows);
  encoded_stride = round_up(std::max({spec.hidden, widths.attention, widths.ffn}), group_size);
  auto const rows = std::size_t(limits.rows);
  auto const floats = [&](std::int64_t stride) { return AlignedArray<float>(rows * std::size_t(stride), memory); };
  auto const results = [&](std::int64_t count) {
    return AlignedArray<float>(std::size_t(count), memory, MemoryUse::results);
  };
  x = floats(hidden_stride);
  normed = floats(hidden_stride);
  branch = floats(hidden_stride);
  qkv = floats(qkv_stride);
  attended = floats(attention_stride);
  gate_up = floats(gate_up_stride);
  int const most_rows = std::max(limits.rows, logit_block_rows);
  encoded = AlignedArray<float>(std::size_t(round_to_tile(most_rows)) * std::size_t(encoded_stride), memory);
  scales =
      AlignedArray<float>(std::size_t(round_to_tile(most_rows)) * std::size_t(encoded_stride / group_size), memory);
  scaled_sums = AlignedArray<float>(scales.size(), memory);
  sums = AlignedArray<std::int32_t>(scales.size(), memory);
  gathered = AlignedArray<float>(std::size_t(logit_block_rows) * std::size_t(hidden_stride), memory);
  PipelinePlace const& pipeline = model.shard.pipeline;
  bool const has_logits = group.rank() == 0 && (pipeline.is_first() || pipeline.is_last());
  if (has_logits) logits = results(logit_block_rows * logits_stride);
  if (!group.alone() && pipeline.is_last()) own_logits = results(logit_block_rows * own_logits_stride);
  normalizers = results(logit_block_rows);
  for (RopeSpec const& rope : spec.ropes) cos_sin.push_back(results(limits.rows * std::int64_t(rope.rotary_dim)));
  workspace = AlignedArray<std::byte>(
      attention_workspace_bytes(spec.head_dim, limits.max_context, machine.attention_threads), memory);
  if (spec.experts == 0) return;
  router_logits = floats(round_up(spec.experts, panel_rows));
  expert_weights = results(limits.rows * std::int64_t(spec.experts_per_token));
  chosen = AlignedArray<std::int32_t>(expert_weights.size(), memory, MemoryUse::results);
  row_weights.resize(rows);
  expert_rows.resize(rows);
  expert_x = floats(hidden_stride);
  expert_y = floats(hidden_stride * (group.alone() ? 1 : spec.experts_per_token));
}

}  // namespace windlass
