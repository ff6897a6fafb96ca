#include "src/core/clock.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/model_files.hpp"
#include "src/model/placed_load.hpp"
#include "src/model/weight_loader.hpp"

namespace windlass {
namespace {

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

/// A small tensor whole, of a large one pieces spread evenly. From the file, so that it is the same for every shard.
Hash128 hash_sample(Tensor const& tensor, Hash128 seed) {
  constexpr std::uint64_t small_bytes = 16 << 10, pieces = 4, piece_bytes = 1024;
  bool const whole = tensor.bytes <= small_bytes;
  std::vector<std::byte> sample(whole ? tensor.bytes : pieces * piece_bytes);
  if (whole) tensor.file->sample(tensor.offset, sample);
  for (std::uint64_t i = 0; i < pieces && !whole; ++i)
    tensor.file->sample(tensor.offset + tensor.bytes / pieces * i,
                        std::span(sample).subspan(i * piece_bytes, piece_bytes));
  return hash_bytes(sample, seed);
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
  for (auto const& [name, tensor] : tensors.all()) {
    hash = hash_text(text(name, ' ', windlass::name(tensor.type), ' ', shape_text(tensor.shape)), hash);
    hash = hash_sample(tensor, hash);
  }
  return hash;
}

}  // namespace

Model load_network(ModelConfig const& config, ModelFiles const& files, WeightMemory const& memory, ThreadTeam& team) {
  Model model;
  model.spec = files.blueprint.spec;
  model.suggested = files.suggested;
  model.max_model_len = checked_length(config, files.blueprint);
  model.shard = shard_of(model.spec, config.tensor_parallel, config.pipeline);
  model.weights = load_weights(files.blueprint, files.tensors(),
                               {.precision = config.precision, .shard = model.shard, .memory = memory}, team);
  model.file_bytes = files.tensors().file_bytes();
  model.identity = identity_of(model, files.tensors());
  return model;
}

std::size_t packed_bytes(ModelConfig const& config, ThreadTeam& team) {
  ModelFiles const files = open_model(config);
  Shard const shard = shard_of(files.blueprint.spec, config.tensor_parallel, config.pipeline);
  return packed_bytes(files.blueprint, files.tensors(), {.precision = config.precision, .shard = shard, .memory = {}},
                      team);
}

Model load_network(ModelConfig const& config, ThreadTeam& team) {
  Microseconds const start = now_us();
  Model model = load_network(config, open_model(config), {}, team);
  model.load_seconds = double(now_us() - start) * 1e-6;
  return model;
}

}  // namespace windlass
