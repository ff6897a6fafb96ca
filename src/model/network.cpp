#include "src/model/network.hpp"

#include <algorithm>
#include <filesystem>

#include "src/core/clock.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/architecture/gguf_blueprint.hpp"
#include "src/model/architecture/hugging_face.hpp"
#include "src/model/generation_config.hpp"
#include "src/model/safetensors.hpp"
#include "src/model/weight_loader.hpp"

namespace windlass {
namespace {

constexpr std::uint64_t max_config_bytes = 16 << 20;

/// config.max_model_len, or what the model was trained for; longer only as far as rope scaling goes.
int checked_length(ModelConfig const& config, Blueprint const& blueprint) {
  int const trained = blueprint.spec.max_positions;
  if (config.max_model_len == 0) return trained;
  if (config.max_model_len < 1) throw InputError(text("--max-model-len ", config.max_model_len, " is not positive"));
  if (config.max_model_len > blueprint.longest_positions)
    throw InputError(text("--max-model-len ", config.max_model_len, " is more than the ", blueprint.longest_positions,
                          " positions that ", config.path,
                          " was trained or scaled for; its answers would be noise "
                          "beyond them. Rope scaling can be given by --hf-overrides, such as {\"rope_scaling\": "
                          "{\"rope_type\": \"yarn\", \"factor\": 4.0}}"));
  return config.max_model_len;
}

Hash128 identity_of(Model const& model, TensorTable const& tensors) {
  ModelSpec const& spec = model.spec;
  Hash128 hash =
      hash_text(text(spec.architecture, ' ', spec.hidden, ' ', spec.heads, ' ', spec.kv_heads, ' ', spec.head_dim, ' ',
                     spec.vocab, ' ', spec.ffn, ' ', spec.norm_eps, ' ', spec.embedding_scale, ' ',
                     spec.attention_scale, ' ', spec.attention_soft_cap, ' ', spec.logit_soft_cap, ' ', int(spec.gate),
                     ' ', spec.experts, ' ', spec.experts_per_token, ' ', int(spec.router_normalization)));
  for (LayerSpec const& layer : spec.layers)
    hash = hash_text(text(layer.window, ' ', layer.rope, ' ', layer.moe), hash);
  for (RopeSpec const& rope : spec.ropes) {
    bool const is_long = model.max_model_len > rope.long_from && !rope.long_inverse_frequency.empty();
    std::vector<double> const& used = is_long ? rope.long_inverse_frequency : rope.inverse_frequency;
    hash = hash_text(text(rope.rotary_dim, ' ', rope.attention_factor), hash);
    hash = hash_bytes(std::as_bytes(std::span(used)), hash);
  }
  for (auto const& [name, tensor] : tensors.all())
    hash = hash_text(text(name, ' ', windlass::name(tensor.type), ' ', shape_text(tensor.shape)), hash);
  return model.weights.sample_hash(hash);
}

/// What both kinds of model files have in common once their blueprint is known.
Model build(ModelConfig const& config, Blueprint const& blueprint, TensorTable const& tensors, ThreadTeam& team) {
  Model model;
  model.spec = blueprint.spec;
  model.max_model_len = checked_length(config, blueprint);
  model.weights = load_weights(blueprint, tensors, config.precision, team);
  model.file_bytes = tensors.file_bytes();
  model.identity = identity_of(model, tensors);
  return model;
}

boost::json::object read_config(ModelConfig const& config, std::string const& path) {
  boost::json::object object = parse_json_object(read_text_file(path, max_config_bytes), path);
  if (config.hf_overrides.empty()) return object;
  boost::json::object const overrides = parse_json_object(config.hf_overrides, "--hf-overrides");
  boost::json::value* const inner = object.if_contains("text_config");
  merge_json(
      inner != nullptr && inner->is_object() && !overrides.contains("text_config") ? inner->get_object() : object,
      overrides);
  return object;
}

}  // namespace

void add_end_token(ModelSpec& spec, TokenId id) {
  if (number(id) < std::uint32_t(spec.vocab) &&
      std::find(spec.end_tokens.begin(), spec.end_tokens.end(), id) == spec.end_tokens.end())
    spec.end_tokens.push_back(id);
}

bool is_folder(ModelConfig const& config) {
  std::error_code ignored;
  return std::filesystem::is_directory(config.path, ignored);
}

Model load_network(ModelConfig const& config, GgufFile const& file, ThreadTeam& team) {
  if (!config.hf_overrides.empty())
    throw InputError("--hf-overrides needs a Hugging Face folder; " + config.path + " is a GGUF file");
  Model model = build(config, blueprint_from_gguf(file), file.tensors(), team);
  for (char const* const key : {"eos", "eot", "eom"})
    if (MetadataValue const* const id = file.metadata().find(text("tokenizer.ggml.", key, "_token_id")))
      if (auto const* const value = std::get_if<std::uint64_t>(id))
        add_end_token(model.spec, TokenId(std::uint32_t(*value)));
  return model;
}

Model load_folder_network(ModelConfig const& config, ThreadTeam& team) {
  std::string const path = config.path + "/config.json";
  if (!std::filesystem::exists(path))
    throw InputError(config.path + ": has no config.json; give a .gguf file or a Hugging Face model folder");
  boost::json::object const object = read_config(config, path);
  TensorTable const tensors = open_safetensors(config.path, config.load);
  Blueprint blueprint = blueprint_from_config(object, tensors, path);
  blueprint.spec.name = std::filesystem::path(config.path).lexically_normal().filename().string();
  Model model = build(config, blueprint, tensors, team);
  GenerationConfig const generation = read_generation_config(config.path);
  model.suggested = generation.suggested;
  std::vector<TokenId> const ends = generation.end_tokens.empty() ? blueprint.spec.end_tokens : generation.end_tokens;
  model.spec.end_tokens.clear();
  for (TokenId const id : ends) add_end_token(model.spec, id);
  return model;
}

Model load_network(ModelConfig const& config, ThreadTeam& team) {
  Microseconds const start = now_us();
  Model model = is_folder(config) ? load_folder_network(config, team)
                                  : load_network(config, GgufFile(config.path, config.load), team);
  model.load_seconds = double(now_us() - start) * 1e-6;
  return model;
}

}  // namespace windlass
