#include "src/model/model_files.hpp"

#include <algorithm>
#include <filesystem>

#include "src/core/error.hpp"
#include "src/core/text.hpp"
#include "src/model/architecture/gguf_blueprint.hpp"
#include "src/model/architecture/hugging_face.hpp"
#include "src/model/generation_config.hpp"
#include "src/model/safetensors.hpp"

namespace windlass {
namespace {

constexpr std::uint64_t max_config_bytes = 16 << 20;

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

void open_folder(ModelConfig const& config, ModelFiles& files) {
  std::string const path = config.path + "/config.json";
  if (!std::filesystem::exists(path))
    throw InputError(config.path + ": has no config.json; give a .gguf file or a Hugging Face model folder");
  boost::json::object const object = read_config(config, path);
  files.folder = open_safetensors(config.path, config.load);
  files.blueprint = blueprint_from_config(object, files.folder, path);
  ModelSpec& spec = files.blueprint.spec;
  spec.name = std::filesystem::path(config.path).lexically_normal().filename().string();
  GenerationConfig const generation = read_generation_config(config.path);
  files.suggested = generation.suggested;
  std::vector<TokenId> const ends = generation.end_tokens.empty() ? spec.end_tokens : generation.end_tokens;
  spec.end_tokens.clear();
  for (TokenId const id : ends) add_end_token(spec, id);
}

void open_gguf(ModelConfig const& config, ModelFiles& files) {
  if (!config.hf_overrides.empty())
    throw InputError("--hf-overrides needs a Hugging Face folder; " + config.path + " is a GGUF file");
  files.gguf.emplace(config.path, config.load);
  files.blueprint = blueprint_from_gguf(*files.gguf);
  for (char const* const key : {"eos", "eot", "eom"})
    if (MetadataValue const* const id = files.gguf->metadata().find(text("tokenizer.ggml.", key, "_token_id")))
      if (auto const* const value = std::get_if<std::uint64_t>(id))
        add_end_token(files.blueprint.spec, TokenId(std::uint32_t(*value)));
}

}  // namespace

void add_end_token(ModelSpec& spec, TokenId id) {
  if (number(id) < std::uint32_t(spec.vocab) &&
      std::find(spec.end_tokens.begin(), spec.end_tokens.end(), id) == spec.end_tokens.end())
    spec.end_tokens.push_back(id);
}

ModelFiles open_model(ModelConfig const& config) {
  ModelFiles files;
  std::error_code ignored;
  if (std::filesystem::is_directory(config.path, ignored))
    open_folder(config, files);
  else
    open_gguf(config, files);
  return files;
}

}  // namespace windlass
