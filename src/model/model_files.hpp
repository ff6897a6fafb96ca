/// A model's files, opened: headers and configuration are read, weights not yet.
#pragma once

#include <optional>

#include "kernels/weight_arena.hpp"
#include "src/model/architecture/blueprint.hpp"
#include "src/model/gguf.hpp"
#include "src/model/model.hpp"

namespace windlass {

struct ModelFiles {
  std::optional<GgufFile> gguf;  ///< nothing: a folder
  TensorTable folder;
  Blueprint blueprint;
  SuggestedSampling suggested;

  TensorTable const& tensors() const { return gguf ? gguf->tensors() : folder; }
};

/// Throws FileError, or InputError naming file and key or tensor.
ModelFiles open_model(ModelConfig const& config);

/// Everything of a Model but the tokenizer and the chat template.
Model load_network(ModelConfig const& config, ModelFiles const& files, WeightMemory const& memory, ThreadTeam& team);

/// Adds `id` unless it is there or beyond the vocabulary.
void add_end_token(ModelSpec& spec, TokenId id);

}  // namespace windlass
