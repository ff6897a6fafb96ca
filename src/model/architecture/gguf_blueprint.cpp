#include "src/model/architecture/gguf_blueprint.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/dequantize.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/architecture/metadata_reader.hpp"
#include "src/model/architecture/rope_scaling.hpp"

namespace windlass {
namespace {

/// What the file does not say about an architecture.
struct GgufFamily {
  char const* architecture;
  RopeRows rope_rows = RopeRows::halves;
  bool qk_norm = false;
  bool fused = false;
  bool gemma = false;
  int window_pattern = 0;     ///< all but every so-many-th layer slide; 1: all do; 0: none
  int layers_of_largest = 0;  ///< Gemma: the size whose attention scale is 1 / sqrt(hidden / heads)
  double local_theta = 0;     ///< Gemma 3: rope of the sliding layers
  RouterNormalization router = RouterNormalization::softmax_chosen;
};

GgufFamily family_of(std::string const& architecture, std::string const& source) {
  GgufFamily const families[] = {
      {.architecture = "llama", .rope_rows = RopeRows::interleaved, .window_pattern = 1},
      {.architecture = "mistral", .rope_rows = RopeRows::interleaved, .window_pattern = 1},
      {.architecture = "qwen2"},
      {.architecture = "qwen3", .qk_norm = true},
      {.architecture = "qwen3moe", .qk_norm = true},
      {.architecture = "gemma2", .gemma = true, .window_pattern = 2, .layers_of_largest = 46},
      {.architecture = "gemma3",
       .qk_norm = true,
       .gemma = true,
       .window_pattern = 6,
       .layers_of_largest = 62,
       .local_theta = 10000},
      {.architecture = "phi3", .fused = true, .window_pattern = 1},
  };
  std::string known;
  for (GgufFamily const& family : families) {
    if (architecture == family.architecture) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.architecture);
  }
  throw InputError(text(source, ": key general.architecture is \"", architecture,
                        "\", which is not supported; supported are ", known));
}

std::string architecture_of(Metadata const& metadata) {
  MetadataValue const* const value = metadata.find("general.architecture");
  auto const* const name = value == nullptr ? nullptr : std::get_if<std::string>(value);
  if (name == nullptr) throw InputError(metadata.source() + ": key general.architecture is missing");
  return *name;
}

int vocab_of(GgufFile const& file, MetadataReader const& keys) {
  Tensor const* const embedding = file.tensors().find("token_embd.weight");
  if (embedding == nullptr) throw InputError(keys.source() + ": tensor token_embd.weight is missing");
  return int(std::min<std::int64_t>(embedding->rows(), 1 << 30));
}

void read_sizes(GgufFile const& file, MetadataReader const& keys, ModelSpec& spec) {
  spec.hidden = keys.size("embedding_length");
  spec.heads = keys.size("attention.head_count");
  spec.kv_heads = keys.size_or("attention.head_count_kv", spec.heads);
  spec.head_dim = keys.size_or("attention.key_length", spec.hidden / spec.heads);
  if (keys.size_or("attention.value_length", spec.head_dim) != spec.head_dim)
    keys.fail("attention.value_length", "differs from attention.key_length, which is not supported");
  spec.vocab = vocab_of(file, keys);
  spec.ffn = keys.size("feed_forward_length");
  spec.max_positions = keys.size("context_length");
  spec.layers.resize(std::size_t(keys.size("block_count", 1 << 12)));
  spec.norm_eps = keys.number("attention.layer_norm_rms_epsilon").value_or(1e-6);
  spec.tied_embeddings = !file.tensors().contains("output.weight");
  spec.attention_scale = 1 / std::sqrt(double(spec.head_dim));
}

void set_windows(MetadataReader const& keys, GgufFamily const& family, ModelSpec& spec) {
  int const window = int(keys.integer("attention.sliding_window").value_or(0));
  if (window <= 0 || family.window_pattern == 0) return;
  for (std::size_t i = 0; i < spec.layers.size(); ++i)
    if (family.window_pattern == 1 || (i + 1) % std::size_t(family.window_pattern) != 0) spec.layers[i].window = window;
}

std::vector<double> small_tensor(GgufFile const& file, char const* name, int size) {
  Tensor const* const tensor = file.tensors().find(name);
  if (tensor == nullptr) return {};
  if (tensor->rows() != 1 || tensor->columns() != size)
    throw InputError(text(tensor->where(), " has the shape ", shape_text(tensor->shape), ", not [", size, "]"));
  std::vector<std::byte> bytes(tensor->bytes);
  tensor->file->read(tensor->offset, bytes);
  std::vector<float> values(std::size_t(size), 0.0f);
  reference::dequantize(tensor->type, bytes, values);
  return {values.begin(), values.end()};
}

RopeScaling scaling_of(MetadataReader const& keys, bool has_long_factors) {
  std::string const type = keys.text("rope.scaling.type").value_or(has_long_factors ? "longrope" : "none");
  if (type == "linear") return RopeScaling::linear;
  if (type == "yarn") return RopeScaling::yarn;
  if (type == "longrope") return RopeScaling::longrope;
  if (type != "none")
    keys.fail("rope.scaling.type", text("is \"", type, "\"; none, linear, yarn and longrope are supported"));
  return has_long_factors ? RopeScaling::longrope : RopeScaling::none;
}

/// `attn_factor` in GGUF multiplies yarn's own magnitude, and is longrope's whole factor.
void set_attention_factor(MetadataReader const& keys, RopeParameters& p) {
  std::optional<double> const factor = keys.number("rope.scaling.attn_factor");
  if (!factor) return;
  if (p.scaling == RopeScaling::longrope) p.attention_factor = *factor;
  if (p.scaling == RopeScaling::yarn) p.attention_factor = *factor * (1 + 0.1 * std::log(std::max(p.factor, 1.0)));
}

RopeParameters read_rope(GgufFile const& file, MetadataReader const& keys, ModelSpec const& spec) {
  int const rotary = keys.size_or("rope.dimension_count", spec.head_dim);
  RopeParameters p{.head_dim = spec.head_dim, .max_positions = spec.max_positions};
  p.partial_rotary_factor = (rotary + 0.25) / spec.head_dim;  // int(head_dim * it) == rotary
  p.theta = keys.number("rope.freq_base").value_or(10000);
  p.short_factor = small_tensor(file, "rope_factors_short.weight", rotary / 2);
  p.long_factor = small_tensor(file, "rope_factors_long.weight", rotary / 2);
  p.scaling = scaling_of(keys, !p.long_factor.empty());
  p.original_max_positions = keys.size_or("rope.scaling.original_context_length", spec.max_positions);
  p.factor = double(spec.max_positions) / p.original_max_positions;
  p.factor = keys.number("rope.scaling.factor").value_or(p.scaling == RopeScaling::linear ? 1 : p.factor);
  p.beta_fast = keys.number("rope.scaling.yarn_beta_fast").value_or(p.beta_fast);
  p.beta_slow = keys.number("rope.scaling.yarn_beta_slow").value_or(p.beta_slow);
  set_attention_factor(keys, p);
  return p;
}

void set_ropes(GgufFile const& file, MetadataReader const& keys, GgufFamily const& family, Blueprint& out) {
  ModelSpec& spec = out.spec;
  RopeParameters const p = read_rope(file, keys, spec);
  RopeSpec rope = make_rope(p, keys.source());
  std::vector<double> const divisors = small_tensor(file, "rope_freqs.weight", rope.rotary_dim / 2);  // Llama 3.1
  for (std::size_t i = 0; i < divisors.size(); ++i)
    rope.inverse_frequency[i] = float(rope.inverse_frequency[i]) / float(divisors[i]);
  spec.ropes = {rope};
  out.longest_positions = longest_positions(p);
  if (family.local_theta == 0) return;
  RopeParameters local{.theta = keys.number("rope.freq_base_swa").value_or(family.local_theta),
                       .head_dim = p.head_dim,
                       .partial_rotary_factor = p.partial_rotary_factor,
                       .max_positions = p.max_positions};
  spec.ropes.push_back(make_rope(local, keys.source()));
  for (LayerSpec& layer : spec.layers) layer.rope = layer.window > 0 ? 1 : 0;
}

void set_experts(GgufFile const& file, MetadataReader const& keys, GgufFamily const& family, ModelSpec& spec) {
  spec.experts = int(keys.integer("expert_count").value_or(0));
  if (spec.experts == 0) return;
  spec.experts = keys.size("expert_count", 1 << 14);
  spec.experts_per_token = keys.size("expert_used_count", spec.experts);
  spec.expert_ffn = keys.size_or("expert_feed_forward_length", spec.ffn);
  spec.router_normalization = family.router;
  bool any_dense = false;
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    spec.layers[i].moe = file.tensors().contains(text("blk.", i, ".ffn_gate_inp.weight"));
    any_dense = any_dense || !spec.layers[i].moe;
  }
  if (!any_dense) spec.ffn = 0;
}

void set_gemma(MetadataReader const& keys, GgufFamily const& family, ModelSpec& spec) {
  spec.gate = GateFunction::gelu_tanh;
  spec.embedding_scale = std::sqrt(float(spec.hidden));
  if (int(spec.layers.size()) == family.layers_of_largest)
    spec.attention_scale = 1 / std::sqrt(double(spec.hidden) / spec.heads);
  spec.attention_soft_cap = keys.number("attn_logit_softcapping").value_or(0);
  spec.logit_soft_cap = keys.number("final_logit_softcapping").value_or(0);
}

LayerNames layer_names(GgufFile const& file, GgufFamily const& family) {
  std::string const p = "blk.{l}.";
  LayerNames n;
  n.attention_norm = p + "attn_norm";
  n.ffn_norm = p + "ffn_norm";
  if (family.gemma) {
    n.post_attention_norm = p + "post_attention_norm";
    n.post_ffn_norm = p + "post_ffw_norm";
  }
  if (family.qk_norm) {
    n.q_norm = p + "attn_q_norm";
    n.k_norm = p + "attn_k_norm";
  }
  if (family.fused) {
    n.qkv = p + "attn_qkv";
    n.gate_up = p + "ffn_up";
  } else {
    n.q = p + "attn_q";
    n.k = p + "attn_k";
    n.v = p + "attn_v";
    n.gate = p + "ffn_gate";
    n.up = p + "ffn_up";
  }
  n.output = p + "attn_output";
  n.down = p + "ffn_down";
  n.router = p + "ffn_gate_inp";
  bool const single = file.tensors().contains("blk.0.ffn_gate.0.weight");  // Mixtral files of early 2024
  n.expert_gate = p + (single ? "ffn_gate.{e}" : "ffn_gate_exps");
  n.expert_up = p + (single ? "ffn_up.{e}" : "ffn_up_exps");
  n.expert_down = p + (single ? "ffn_down.{e}" : "ffn_down_exps");
  return n;
}

}  // namespace

Blueprint blueprint_from_gguf(GgufFile const& file) {
  std::string const architecture = architecture_of(file.metadata());
  MetadataReader const keys(file.metadata(), architecture);
  GgufFamily const family = family_of(architecture, keys.source());
  Blueprint out;
  out.spec.architecture = architecture;
  if (MetadataValue const* const name = file.metadata().find("general.name"))
    if (auto const* const found = std::get_if<std::string>(name)) out.spec.name = *found;
  read_sizes(file, keys, out.spec);
  set_windows(keys, family, out.spec);
  set_ropes(file, keys, family, out);
  set_experts(file, keys, family, out.spec);
  if (family.gemma) set_gemma(keys, family, out.spec);
  out.names = {.embedding = "token_embd",
               .final_norm = "output_norm",
               .head = "output",
               .layer = layer_names(file, family),
               .rope_rows = family.rope_rows,
               .qkv_bias = BiasExpected::if_in_the_file,
               .output_bias = BiasExpected::if_in_the_file};
  check(out.spec, keys.source());
  return out;
}

}  // namespace windlass
