#include "src/model/architecture/hugging_face.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/float_formats.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/architecture/hugging_face_families.hpp"

namespace windlass {
namespace {

/// The text part of a model that has others, with the keys that the outer level gives for all parts.
boost::json::object text_part(boost::json::object const& config) {
  boost::json::value const* const inner = config.if_contains("text_config");
  if (inner == nullptr || !inner->is_object()) return config;
  boost::json::object part = inner->get_object();
  for (char const* const key : {"tie_word_embeddings", "torch_dtype", "dtype", "eos_token_id", "quantization_config"})
    if (!part.contains(key) && config.contains(key)) part[key] = config.at(key);
  return part;
}

void check_quantization(JsonReader const& config) {
  std::optional<JsonReader> const quantization = config.child("quantization_config");
  if (!quantization) return;
  constexpr std::array known{"fp8", "compressed-tensors", "fbgemm_fp8", "modelopt"};
  std::string const method = quantization->text("quant_method").value_or("(none)");
  if (std::find(known.begin(), known.end(), method) == known.end())
    quantization->fail("quant_method", text("is \"", method,
                                            "\"; of the quantised folders those with FP8 weights can be read; use "
                                            "the unquantised model or a GGUF file"));
  std::string const format = quantization->text("format").value_or("float-quantized");
  if (method == "compressed-tensors" && format != "float-quantized" && format != "naive-quantized")
    quantization->fail("format", text("is \"", format, "\"; only float-quantized (FP8) can be read"));
}

void read_sizes(JsonReader const& config, ModelSpec& spec) {
  spec.hidden = config.size("hidden_size");
  spec.heads = config.size("num_attention_heads");
  spec.kv_heads = config.has("num_key_value_heads") ? config.size("num_key_value_heads") : spec.heads;
  spec.head_dim = config.has("head_dim") ? config.size("head_dim") : spec.hidden / spec.heads;
  spec.vocab = config.size("vocab_size");
  spec.ffn = config.size("intermediate_size");
  spec.max_positions = config.size("max_position_embeddings");
  spec.layers.resize(std::size_t(config.size("num_hidden_layers", 1 << 12)));
  spec.norm_eps = config.number("rms_norm_eps").value_or(1e-6);
  spec.tied_embeddings = config.boolean("tie_word_embeddings").value_or(false);
  spec.attention_scale = 1 / std::sqrt(double(spec.head_dim));
  for (std::int64_t const id : config.integers("eos_token_id")) spec.end_tokens.push_back(TokenId(std::uint32_t(id)));
}

GateFunction gate_of(JsonReader const& config) {
  char const* const key = config.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  std::string const act = config.text(key).value_or("silu");
  if (act == "silu" || act == "swish") return GateFunction::silu;
  if (act == "gelu_pytorch_tanh" || act == "gelu_new") return GateFunction::gelu_tanh;
  config.fail(key, text("is \"", act, "\"; silu and gelu_pytorch_tanh are supported"));
}

/// Sliding windows by layer_types, or else by the family's rule.
void set_windows(JsonReader const& config, HuggingFaceFamily const& family, ModelSpec& spec) {
  int const window = config.has("sliding_window") ? config.size("sliding_window") : 0;
  std::vector<std::string> const types = config.texts("layer_types");
  if (!types.empty() && types.size() < spec.layers.size())
    config.fail("layer_types", text("has ", types.size(), " elements for ", spec.layers.size(), " layers"));
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    bool slides = window > 0 && slides_by_rule(family.windows, config, int(i));
    if (!types.empty()) slides = types[i] == "sliding_attention";
    if (!types.empty() && !slides && types[i] != "full_attention")
      config.fail("layer_types", text("has \"", types[i], "\"; full_attention and sliding_attention are supported"));
    if (slides && window == 0) config.fail("sliding_window", "is missing, but layer_types has sliding_attention");
    spec.layers[i].window = slides ? window : 0;
  }
}

RopeParameters rope_defaults(JsonReader const& config, ModelSpec const& spec) {
  RopeParameters p{.head_dim = spec.head_dim, .max_positions = spec.max_positions};
  p.theta = config.number("rope_theta").value_or(p.theta);
  p.partial_rotary_factor = config.number("partial_rotary_factor").value_or(1);
  p.original_max_positions = int(config.integer("original_max_position_embeddings").value_or(0));
  return p;
}

/// rope_parameters, overlaid by rope_scaling (which --hf-overrides may bring).
boost::json::object rope_object(JsonReader const& config) {
  boost::json::object rope;
  for (char const* const key : {"rope_parameters", "rope_scaling"})
    if (std::optional<JsonReader> const part = config.child(key)) merge_json(rope, part->object());
  return rope;
}

/// One rope for all layers, or (layer types have their own) index 0 for full and 1 for sliding attention.
RopeParameters set_ropes(JsonReader const& config, ModelSpec& spec) {
  boost::json::object object = rope_object(config);
  JsonReader const reader(object, config.source() + ": rope_parameters");
  RopeParameters const defaults = rope_defaults(config, spec);
  bool const by_type = reader.has("full_attention") || reader.has("sliding_attention");
  if (!by_type && !config.has("rope_local_base_freq")) {
    RopeParameters const p = rope_from_config(reader, defaults);
    spec.ropes = {make_rope(p, config.source())};
    return p;
  }
  RopeParameters local = defaults;
  local.theta = config.number("rope_local_base_freq").value_or(10000);
  RopeParameters global = rope_from_config(reader, defaults);
  if (std::optional<JsonReader> const part = reader.child("full_attention")) global = rope_from_config(*part, defaults);
  if (std::optional<JsonReader> const part = reader.child("sliding_attention")) local = rope_from_config(*part, local);
  spec.ropes = {make_rope(global, config.source()), make_rope(local, config.source())};
  for (LayerSpec& layer : spec.layers) layer.rope = layer.window > 0 ? 1 : 0;
  return global;
}

void set_experts(JsonReader const& config, HuggingFaceFamily const& family, ModelSpec& spec) {
  if (std::string_view(family.experts_key).empty()) return;
  spec.experts = config.size(family.experts_key, 1 << 14);
  spec.experts_per_token = config.size("num_experts_per_tok", spec.experts);
  spec.expert_ffn = config.has("moe_intermediate_size") ? config.size("moe_intermediate_size") : spec.ffn;
  if (config.boolean("norm_topk_prob").value_or(true) == false)
    spec.router_normalization = RouterNormalization::softmax_all;
  std::vector<std::int64_t> const dense = config.integers("mlp_only_layers");
  std::int64_t const step = config.integer("decoder_sparse_step").value_or(1);
  if (step < 1) config.fail("decoder_sparse_step", "is below 1");
  bool any_dense = false;
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    bool const named = std::find(dense.begin(), dense.end(), std::int64_t(i)) != dense.end();
    spec.layers[i].moe = !named && (std::int64_t(i) + 1) % step == 0;
    any_dense = any_dense || !spec.layers[i].moe;
  }
  if (!any_dense) spec.ffn = 0;
}

/// Gemma's conventions. transformers rounds the embedding's scale to the type of the weights.
void set_gemma(JsonReader const& config, ModelSpec& spec) {
  float const scale = std::sqrt(float(spec.hidden));
  std::string const dtype = config.text("dtype").value_or(config.text("torch_dtype").value_or("float32"));
  spec.embedding_scale = dtype == "bfloat16" ? bf16_to_float(float_to_bf16(scale)) : scale;
  spec.attention_scale = 1 / std::sqrt(config.number("query_pre_attn_scalar").value_or(spec.head_dim));
  spec.attention_soft_cap = config.number("attn_logit_softcapping").value_or(0);
  spec.logit_soft_cap = config.number("final_logit_softcapping").value_or(0);
  if (config.boolean("use_bidirectional_attention").value_or(false))
    config.fail("use_bidirectional_attention", "is true; only causal models are supported");
}

/// The prefix of the text part's tensors.
std::string text_prefix(TensorTable const& tensors, std::string const& source) {
  constexpr std::array prefixes{"model.", "language_model.model.", "model.language_model.", "language_model.", ""};
  for (char const* const prefix : prefixes)
    if (tensors.contains(text(prefix, "embed_tokens.weight"))) return prefix;
  throw InputError(source + ": tensor model.embed_tokens.weight is missing from the folder's safetensors files");
}

std::string head_name(TensorTable const& tensors) {
  for (char const* const candidate : {"lm_head", "language_model.lm_head", "model.lm_head"})
    if (tensors.contains(text(candidate, ".weight"))) return candidate;
  return "lm_head";
}

void set_names(JsonReader const& config, TensorTable const& tensors, HuggingFaceFamily const& family,
               WeightNames& names) {
  names.text_prefix = text_prefix(tensors, config.source());
  std::string const layer = names.text_prefix + "layers.{l}.";
  names.embedding = names.text_prefix + "embed_tokens";
  names.final_norm = names.text_prefix + "norm";
  names.head = head_name(tensors);
  names.layer = layer_names(family, layer);
  names.norms = family.gemma ? NormWeights::plus_one : NormWeights::as_stored;
  bool const attention_bias = config.boolean("attention_bias").value_or(false);
  names.qkv_bias = family.qkv_bias || attention_bias ? BiasExpected::yes : BiasExpected::no;
  names.output_bias = attention_bias ? BiasExpected::yes : BiasExpected::no;
}

}  // namespace

void merge_json(boost::json::object& config, boost::json::object const& overrides) {
  for (auto const& [key, value] : overrides) {
    boost::json::value* const old = config.if_contains(key);
    if (old != nullptr && old->is_object() && value.is_object())
      merge_json(old->get_object(), value.get_object());
    else
      config[key] = value;
  }
}

Blueprint blueprint_from_config(boost::json::object const& outer, TensorTable const& tensors,
                                std::string const& source) {
  boost::json::object const part = text_part(outer);
  HuggingFaceFamily const& family = family_of(JsonReader(part, source));
  boost::json::object merged = parse_json_object(family.defaults, text("defaults of ", family.model_type));
  for (auto const& [key, value] : part) merged[key] = value;  // null replaces a default, too
  JsonReader const config(merged, source);
  check_quantization(config);
  if (config.boolean("mlp_bias").value_or(false)) config.fail("mlp_bias", "is true, which is not supported");
  Blueprint out;
  out.spec.architecture = family.model_type;
  out.spec.gate = gate_of(config);
  read_sizes(config, out.spec);
  set_windows(config, family, out.spec);
  out.longest_positions = longest_positions(set_ropes(config, out.spec));
  set_experts(config, family, out.spec);
  if (family.gemma) set_gemma(config, out.spec);
  set_names(config, tensors, family, out.names);
  check(out.spec, source);
  return out;
}

}  // namespace windlass
