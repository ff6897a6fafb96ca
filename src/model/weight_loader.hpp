/// From a model's tensors to its packed weights.
#pragma once

#include "kernels/activations.hpp"
#include "kernels/weight_arena.hpp"
#include "src/model/architecture/blueprint.hpp"
#include "src/model/shard.hpp"
#include "src/model/tensor_table.hpp"
#include "src/model/weights.hpp"

namespace windlass {

class ThreadTeam;

/// Throws InputError naming the file and the tensor that is missing, of a wrong shape, or not understood by the
/// architecture; FileError where reading fails.
Weights load_weights(Blueprint const& blueprint, TensorTable const& tensors, Precision precision, ThreadTeam& team);

struct WeightLoad {
  Precision precision = Precision::fast;
  Shard shard;
  WeightMemory memory;
};
/// The part of the weights that `load.shard` names.
Weights load_weights(Blueprint const& blueprint, TensorTable const& tensors, WeightLoad const& load, ThreadTeam& team);

/// Of memory that these weights take, packed. Reads norms and biases, no matrices.
std::size_t packed_bytes(Blueprint const& blueprint, TensorTable const& tensors, WeightLoad const& load,
                         ThreadTeam& team);

}  // namespace windlass
