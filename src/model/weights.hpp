/// A model's weights as the forward pass reads them. On one rank of several they are its shard (src/model/shard.hpp):
/// sizes below then count what is there; an expert of another rank and a layer of another stage are empty.
#pragma once

#include <memory>
#include <vector>

#include "kernels/float_array.hpp"
#include "kernels/packed_matrix.hpp"
#include "src/model/spec.hpp"

namespace windlass {

/// A gated feed-forward network. `gate_up` has the gate rows first, filled up with zero rows to a multiple of 16, then
/// the up rows.
struct FeedForward {
  PackedMatrix gate_up;  ///< [round16(width) + width, hidden]
  PackedMatrix down;     ///< [hidden, width]
};

struct LayerWeights {
  FloatArray attention_norm;       ///< [hidden]
  FloatArray post_attention_norm;  ///< [hidden], Gemma's norm of attention's output; empty: none
  FloatArray ffn_norm;             ///< [hidden]
  FloatArray post_ffn_norm;        ///< [hidden] or empty
  FloatArray q_norm, k_norm;       ///< [head_dim] or empty
  PackedMatrix
      qkv;  ///< [(heads + 2 kv_heads) * head_dim, hidden]: q rows, k rows, v rows; rope pairs are halves (i, i + d/2)
  FloatArray qkv_bias;               ///< [16 * qkv.panels()] or empty
  PackedMatrix output;               ///< [hidden, heads * head_dim]
  FloatArray output_bias;            ///< [16 * output.panels()] or empty
  FeedForward dense;                 ///< where LayerSpec::moe is false
  PackedMatrix router;               ///< [experts, hidden], f32; MoE only
  std::vector<FeedForward> experts;  ///< MoE only
  FeedForward shared_expert;         ///< where shared_expert_ffn > 0
};

/// Norm weights are ready to multiply with (Gemma's 1 + w is added on loading).
struct Weights {
  PackedMatrix embedding;  ///< [vocab, hidden]
  FloatArray final_norm;   ///< [hidden]
  PackedMatrix head;       ///< [vocab, hidden]; shares the embedding's bytes where tied
  std::vector<LayerWeights> layers;
  MemorySpace space = MemorySpace::host;  ///< where all of it lies

  std::size_t size_bytes() const;  ///< of all matrices, shared bytes counted once
};

}  // namespace windlass
