/// The buffers of a forward pass; included by its own sources only.
#pragma once

#include <vector>

#include "src/engine/aligned_array.hpp"
#include "src/engine/forward_pass.hpp"

namespace windlass {

constexpr int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

/// Where the buffers lie, and for how many threads attention has room to work.
struct MachineMemory {
  Memory const* memory = &host_memory;
  int attention_threads = 1;
};

/// Sizes are those of this rank's shard where ranks hold parts.
struct ForwardPass::Buffers {
  std::int64_t hidden_stride, qkv_stride, attention_stride, gate_up_stride, logits_stride, own_logits_stride,
      encoded_stride;
  AlignedArray<float> x, normed, qkv, attended, gate_up, branch, logits, own_logits, normalizers, gathered;
  std::vector<AlignedArray<float>> cos_sin;  // [ropes]
  AlignedArray<float> encoded, scales, scaled_sums, router_logits, expert_weights, expert_x, expert_y;
  AlignedArray<std::int32_t> sums, chosen;
  std::vector<float> row_weights;         // [rows], of one expert
  std::vector<std::int32_t> expert_rows;  // [rows], of one expert
  AlignedArray<std::byte> workspace;
  Activations activations;      ///< what encode() wrote last
  std::vector<TokenId> tokens;  ///< of this rank's part of the vocabulary

  Buffers(Model const& model, ForwardLimits const& limits, TensorGroup const& group, MachineMemory const& machine);
};

}  // namespace windlass
