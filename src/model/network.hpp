/// The parts of load_model that need no tokenizer.
#pragma once

#include "src/model/gguf.hpp"
#include "src/model/model.hpp"

namespace windlass {

bool is_folder(ModelConfig const& config);

/// As load_network in model.hpp, from an open GGUF file.
Model load_network(ModelConfig const& config, GgufFile const& file, ThreadTeam& team);
Model load_folder_network(ModelConfig const& config, ThreadTeam& team);

/// Adds `id` unless it is there or beyond the vocabulary.
void add_end_token(ModelSpec& spec, TokenId id);

}  // namespace windlass
