/// config.json -> Blueprint, in the older style (rope_theta, rope_scaling, torch_dtype) and in that of transformers 5
/// (rope_parameters, dtype). Values that a config leaves out are those of transformers' configuration classes.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "src/model/architecture/blueprint.hpp"
#include "src/model/architecture/rope_scaling.hpp"
#include "src/model/json_reader.hpp"
#include "src/model/tensor_table.hpp"

namespace windlass {

/// `source` names the file in messages. Throws InputError naming the key that is missing, unknown or not supported.
Blueprint blueprint_from_config(boost::json::object const& config, TensorTable const& tensors,
                                std::string const& source);

/// The rope parameters at `object` ("rope_parameters", "rope_scaling" or one layer type's part of it); absent keys keep
/// the values of `defaults`.
RopeParameters rope_from_config(JsonReader const& object, RopeParameters defaults);

/// `overrides` merged into `config`: objects key by key, everything else replaced.
void merge_json(boost::json::object& config, boost::json::object const& overrides);

}  // namespace windlass
