/// generation_config.json: end tokens and the sampling that the model's author suggests.
#pragma once

#include <string>
#include <vector>

#include "src/model/model.hpp"

namespace windlass {

struct GenerationConfig {
  std::vector<TokenId> end_tokens;  ///< empty: the file says nothing
  SuggestedSampling suggested;
};

/// Empty where the folder has no such file. Throws InputError naming file and key.
GenerationConfig read_generation_config(std::string const& folder);

}  // namespace windlass
