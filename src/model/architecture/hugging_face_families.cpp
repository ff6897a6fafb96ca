#include "src/model/architecture/hugging_face_families.hpp"

#include "src/core/text.hpp"

namespace windlass {
namespace {

constexpr HuggingFaceFamily families[] = {
    {.model_type = "llama", .defaults = R"({"max_position_embeddings": 2048})"},
    {.model_type = "mistral",
     .windows = WindowRule::all,
     .defaults = R"({"max_position_embeddings": 131072, "num_key_value_heads": 8, "sliding_window": 4096})"},
    {.model_type = "qwen2",
     .windows = WindowRule::from_max_window_layers,
     .qkv_bias = true,
     .defaults = R"({"max_position_embeddings": 32768, "sliding_window": 4096, "max_window_layers": 28})"},
    {.model_type = "qwen3",
     .windows = WindowRule::from_max_window_layers,
     .qk_norm = true,
     .defaults = R"({"max_position_embeddings": 32768, "sliding_window": 4096, "max_window_layers": 28,
                     "head_dim": 128})"},
    {.model_type = "mixtral",
     .windows = WindowRule::all,
     .experts_key = "num_local_experts",
     .expert_names = "block_sparse_moe",
     .defaults = R"({"max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 1e6,
                     "num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2})"},
    {.model_type = "qwen3_moe",
     .windows = WindowRule::if_used,
     .qk_norm = true,
     .experts_key = "num_experts",
     .expert_names = "mlp",
     .defaults = R"({"max_position_embeddings": 32768, "sliding_window": 4096, "num_key_value_heads": 4,
                     "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
                     "norm_topk_prob": false})"},
    {.model_type = "gemma2",
     .windows = WindowRule::alternate,
     .gemma = true,
     .defaults = R"({"vocab_size": 256000, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
                     "max_position_embeddings": 8192, "query_pre_attn_scalar": 256, "sliding_window": 4096,
                     "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
                     "hidden_activation": "gelu_pytorch_tanh", "eos_token_id": 1, "tie_word_embeddings": true})"},
    {.model_type = "gemma3_text",
     .windows = WindowRule::by_pattern,
     .qk_norm = true,
     .gemma = true,
     .defaults = R"({"vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
                     "max_position_embeddings": 131072, "query_pre_attn_scalar": 256, "sliding_window": 4096,
                     "sliding_window_pattern": 6, "rope_theta": 1e6, "rope_local_base_freq": 1e4,
                     "hidden_activation": "gelu_pytorch_tanh", "eos_token_id": 1, "tie_word_embeddings": true})"},
    {.model_type = "phi3",
     .windows = WindowRule::all,
     .fused = true,
     .defaults = R"({"vocab_size": 32064, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
                     "original_max_position_embeddings": 4096, "eos_token_id": 32000})"},
};

/// The model types of text parts that equal a family.
std::string canonical_type(std::string const& type) {
  if (type == "qwen2_vl" || type == "qwen2_vl_text" || type == "qwen2_5_vl" || type == "qwen2_5_vl_text")
    return "qwen2";
  if (type == "qwen3_vl_text") return "qwen3";
  if (type == "gemma3") return "gemma3_text";
  return type;
}

}  // namespace

HuggingFaceFamily const& family_of(JsonReader const& config) {
  std::string const type = config.text("model_type").value_or("(none)");
  std::string known;
  for (HuggingFaceFamily const& family : families) {
    if (canonical_type(type) == family.model_type) return family;
    known += text(known.empty() ? "" : ", ", family.model_type);
  }
  config.fail("model_type", text("is \"", type, "\", an architecture that is not supported; supported are ", known));
}

bool slides_by_rule(WindowRule rule, JsonReader const& config, int layer) {
  bool const used = config.boolean("use_sliding_window").value_or(false);
  switch (rule) {
    case WindowRule::never:
      return false;
    case WindowRule::all:
      return true;
    case WindowRule::if_used:
      return used;
    case WindowRule::from_max_window_layers:
      return used && layer >= config.integer("max_window_layers").value_or(0);
    case WindowRule::alternate:
      return layer % 2 == 0;
    case WindowRule::by_pattern:
      return (layer + 1) % config.size("sliding_window_pattern") != 0;
  }
  return false;
}

LayerNames layer_names(HuggingFaceFamily const& family, std::string const& prefix) {
  std::string const attention = prefix + "self_attn.", mlp = prefix + "mlp.";
  LayerNames n;
  n.attention_norm = prefix + "input_layernorm";
  n.ffn_norm = prefix + (family.gemma ? "pre_feedforward_layernorm" : "post_attention_layernorm");
  if (family.gemma) {
    n.post_attention_norm = prefix + "post_attention_layernorm";
    n.post_ffn_norm = prefix + "post_feedforward_layernorm";
  }
  if (family.qk_norm) {
    n.q_norm = attention + "q_norm";
    n.k_norm = attention + "k_norm";
  }
  if (family.fused) {
    n.qkv = attention + "qkv_proj";
    n.gate_up = mlp + "gate_up_proj";
  } else {
    n.q = attention + "q_proj";
    n.k = attention + "k_proj";
    n.v = attention + "v_proj";
    n.gate = mlp + "gate_proj";
    n.up = mlp + "up_proj";
  }
  n.output = attention + "o_proj";
  n.down = mlp + "down_proj";
  if (std::string const folder = family.expert_names; !folder.empty()) {
    bool const mixtral = folder == "block_sparse_moe";
    std::string const expert = prefix + folder + ".experts.{e}.";
    n.router = prefix + folder + ".gate";
    n.expert_gate = expert + (mixtral ? "w1" : "gate_proj");
    n.expert_up = expert + (mixtral ? "w3" : "up_proj");
    n.expert_down = expert + (mixtral ? "w2" : "down_proj");
  }
  return n;
}

}  // namespace windlass
