/// What a model is: sizes, and per-layer data for everything that architectures do differently. No code depends on an
/// architecture's name; the readers of model files (gguf, hugging_face) translate names and conventions into this.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/gated_activation.hpp"
#include "kernels/moe.hpp"
#include "src/core/ids.hpp"

namespace windlass {

/// Inverse frequencies (radians per position) of the rotated pairs (i, i + rotary_dim / 2), rope scaling already
/// applied.
struct RopeSpec {
  int rotary_dim = 0;                          ///< even, <= head_dim
  std::vector<double> inverse_frequency;       ///< [rotary_dim / 2]
  double attention_factor = 1;                 ///< cos and sin are multiplied by it (yarn, longrope)
  std::vector<double> long_inverse_frequency;  ///< longrope: used instead once max_model_len > long_from; else empty
  int long_from = 0;                           ///< longrope: original_max_position_embeddings
};

struct LayerSpec {
  int window = 0;  ///< attention sees itself and the window - 1 tokens before; 0: all
  int rope = 0;    ///< index into ModelSpec::ropes
  bool moe = false;
};

struct ModelSpec {
  std::string architecture;  ///< as the file says: "llama", "qwen3_moe" …
  std::string name;          ///< for reports; may be empty
  int hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0;
  int ffn = 0;            ///< width of a dense feed-forward network; 0 if every layer is MoE
  int max_positions = 0;  ///< trained context length
  double norm_eps = 0;
  double embedding_scale = 1;
  double attention_scale = 0;     ///< of q . k; usually 1 / sqrt(head_dim)
  double attention_soft_cap = 0;  ///< 0: none
  double logit_soft_cap = 0;      ///< 0: none
  GateFunction gate = GateFunction::silu;
  bool tied_embeddings = false;
  int experts = 0, experts_per_token = 0, expert_ffn = 0;
  int shared_expert_ffn = 0;  ///< 0: none
  RouterNormalization router_normalization = RouterNormalization::softmax_chosen;
  std::vector<RopeSpec> ropes;
  std::vector<LayerSpec> layers;
  std::vector<TokenId> end_tokens;  ///< every id that ends a text (generation_config.json, GGUF)
};

/// Throws InputError naming the field that cannot be (sizes <= 0, heads not a multiple of kv_heads, limits exceeded …).
void check(ModelSpec const& spec, std::string const& source);

}  // namespace windlass
