/// Whether an operation replaces its output or adds to it.
#pragma once

#include <cstdint>

namespace windlass {

enum class Accumulate : std::uint8_t { store, add_to_y };

}  // namespace windlass
