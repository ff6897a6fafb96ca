/// A loaded model: specification, weights, tokenizer, chat template.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "kernels/activations.hpp"
#include "src/core/hash.hpp"
#include "src/model/chat_template.hpp"
#include "src/model/load_mode.hpp"
#include "src/model/shard.hpp"
#include "src/model/spec.hpp"
#include "src/model/tokenizer.hpp"
#include "src/model/tool_calls.hpp"
#include "src/model/weights.hpp"

namespace windlass {

class ThreadTeam;

struct ModelConfig {
  std::string path;  ///< a .gguf file or a Hugging Face folder
  LoadMode load = LoadMode::automatic;
  Precision precision = Precision::fast;
  std::string hf_overrides;        ///< JSON object merged into config.json; empty: none
  std::string chat_template_file;  ///< replaces the model's own template; empty: the model's
  int max_model_len = 0;           ///< 0: what the model was trained for
  TensorParallel tensor_parallel;  ///< which shard is loaded, of
  PipelinePlace pipeline;          ///< which stage
};

/// Sampling defaults that the model's author recommends (generation_config.json); unset where the file says nothing.
struct SuggestedSampling {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
};

struct Model {
  ModelSpec spec;
  Shard shard;  ///< what of it `weights` are
  Weights weights;
  std::unique_ptr<Tokenizer> tokenizer;         ///< null where the files have none: token-id prompts only
  std::string tokenizer_problem;                ///< why it is null
  std::unique_ptr<ChatTemplate> chat_template;  ///< null where there is none
  std::string chat_template_problem;            ///< why it is null
  std::optional<ToolCallFormat> tool_calls;     ///< how the template has the model call tools
  bool reasoning = false;                       ///< the template knows thoughts, <think>…</think>
  SuggestedSampling suggested;
  Hash128 identity;  ///< of the specification, tensor names, types, shapes and a sample of their bytes in the files
  int max_model_len = 0;  ///< tokens a sequence may have
  std::uint64_t file_bytes = 0;
  double load_seconds = 0;
};

/// Reads, checks and repacks a model; `team` does the repacking. Throws InputError or FileError naming file and tensor.
Model load_model(ModelConfig const& config, ThreadTeam& team);

/// The same without tokenizer and chat template, for ranks that see token ids only.
Model load_network(ModelConfig const& config, ThreadTeam& team);

}  // namespace windlass
