/// The CUDA backend of this process.
#pragma once

#include <string>

#include "kernels/operations.hpp"

namespace windlass::cuda {

/// Null where no device can be used; why_unavailable() says why. The first call starts CUDA.
Operations const* backend();
std::string const& why_unavailable();

}  // namespace windlass::cuda
