/// The instruction-set levels of the x86 backend that this machine can run.
#pragma once

#include <vector>

#include "kernels/operations.hpp"

namespace windlass::x86 {

/// By CPUID (and what the operating system saves), slowest first: avx2 (with FMA and F16C), avx512 (F, BW, DQ, VL,
/// VNNI), avx512_bf16 (and BF16), amx (and AMX-INT8, where Linux grants the tile registers). Empty where even the
/// first is missing.
std::vector<Operations const*> runnable_levels();

/// The level amx with its tiles computed by plain code on top of avx512: slow, the bits of avx512. For tests of the
/// tiled product on machines without AMX. Null where there is no avx512.
Operations const* emulated_tiles();

}  // namespace windlass::x86
