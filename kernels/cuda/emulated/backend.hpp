/// The kernels of kernels/cuda, run thread for thread on the host.
#pragma once

#include "kernels/operations.hpp"

namespace windlass::cuda_emulated {

/// Slow, in ordinary memory; its bits are those of a device but for the sums within a product of a tensor core. For
/// tests of the kernels without a device.
Operations const& backend();

}  // namespace windlass::cuda_emulated
