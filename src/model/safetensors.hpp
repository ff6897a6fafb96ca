/// Reader of safetensors files: u64 length of the header, the header (JSON: name -> {dtype, shape, data_offsets}), then
/// the tensors' bytes without gaps.
#pragma once

#include <string>

#include "src/model/tensor_table.hpp"

namespace windlass {

/// Adds the tensors of one file. Throws InputError naming the file and the tensor that is wrong.
void add_safetensors(TensorTable& tensors, FileBytes file);

/// The tensors of a model folder: model.safetensors, or the shards that model.safetensors.index.json lists.
TensorTable open_safetensors(std::string const& folder, LoadMode mode);

}  // namespace windlass
