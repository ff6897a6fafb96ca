/// What sets the model types of Hugging Face folders apart.
#pragma once

#include <string>

#include "src/model/architecture/blueprint.hpp"
#include "src/model/json_reader.hpp"

namespace windlass {

/// Which layers slide where the config has no layer_types.
enum class WindowRule : unsigned char {
  never,
  all,                     ///< every layer, where sliding_window is set
  if_used,                 ///< every layer, where use_sliding_window is true too
  from_max_window_layers,  ///< layers >= max_window_layers, where use_sliding_window is true
  alternate,               ///< layers 0, 2, 4 …
  by_pattern               ///< all but every sliding_window_pattern-th
};

struct HuggingFaceFamily {
  char const* model_type;
  WindowRule windows = WindowRule::never;
  bool qkv_bias = false;          ///< always (Qwen2), whatever attention_bias says
  bool qk_norm = false;           ///< RMS norm of each head's q and k
  bool fused = false;             ///< qkv_proj and gate_up_proj
  bool gemma = false;             ///< 1 + w norms, post norms, scaled embedding, soft caps
  char const* experts_key = "";   ///< config key of the number of experts; empty: dense
  char const* expert_names = "";  ///< "block_sparse_moe" (w1, w3, w2) or "mlp" (gate_proj, up_proj, down_proj)
  char const* defaults = "{}";    ///< JSON: values of keys that a config may leave out
};

/// By model_type. Throws InputError naming the type and the ones that are supported.
HuggingFaceFamily const& family_of(JsonReader const& config);

bool slides_by_rule(WindowRule rule, JsonReader const& config, int layer);

/// `prefix`: "model.layers.{l}." or the like.
LayerNames layer_names(HuggingFaceFamily const& family, std::string const& prefix);

}  // namespace windlass
