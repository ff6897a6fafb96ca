/// GGUF metadata -> Blueprint.
#pragma once

#include "src/model/architecture/blueprint.hpp"
#include "src/model/gguf.hpp"

namespace windlass {

/// Throws InputError naming the file and the key or tensor that is missing, unknown or not supported.
Blueprint blueprint_from_gguf(GgufFile const& file);

}  // namespace windlass
