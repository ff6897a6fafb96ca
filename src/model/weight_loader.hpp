/// From a model's tensors to its packed weights.
#pragma once

#include "kernels/activations.hpp"
#include "src/model/architecture/blueprint.hpp"
#include "src/model/tensor_table.hpp"
#include "src/model/weights.hpp"

namespace windlass {

class ThreadTeam;

/// Throws InputError naming the file and the tensor that is missing, of a wrong shape, or not understood by the
/// architecture; FileError where reading fails.
Weights load_weights(Blueprint const& blueprint, TensorTable const& tensors, Precision precision, ThreadTeam& team);

}  // namespace windlass
