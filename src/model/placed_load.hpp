/// Loading a model into memory that was made for its weights before.
#pragma once

#include "kernels/weight_arena.hpp"
#include "src/model/model.hpp"

namespace windlass {

/// load_model() with the packed weights in `memory`; with Filling::elsewhere no matrix is read.
Model load_model(ModelConfig const& config, WeightMemory const& memory, ThreadTeam& team);

/// Bytes of the packed weights of config's shard. Opens the files. Throws as load_model().
std::size_t packed_bytes(ModelConfig const& config, ThreadTeam& team);

}  // namespace windlass
