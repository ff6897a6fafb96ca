/// The instruction-set levels of the x86 backend that this machine can run.
#pragma once

#include <vector>

#include "kernels/operations.hpp"

namespace windlass::x86 {

/// By CPUID (and what the operating system saves), slowest first: avx2 (with FMA and F16C), avx512 (F, BW, DQ, VL,
/// VNNI), avx512_bf16 (and BF16). Empty where even the first is missing.
std::vector<Operations const*> runnable_levels();

}  // namespace windlass::x86
