/// Loops that do nothing but read memory or multiply and add, as fast as one thread can: what bench/ measures the
/// machine's limits with. Not part of any backend.
#pragma once

#include <cstddef>
#include <cstdint>

namespace windlass::x86 {

/// One instruction whose peak rate is a limit. The 8-bit kinds sum products of bytes in 32 bits.
enum class MultiplyAdd : std::uint8_t {
  fp32_avx2,         ///< VFMADD231PS, 8 lanes
  fp32_avx512,       ///< VFMADD231PS, 16 lanes
  bf16_avx512,       ///< VDPBF16PS, 32 products
  int8_avx2,         ///< VPMADDUBSW, VPMADDWD, VPADDD: three instructions for 32 products
  int8_avx_vnni,     ///< VPDPBUSD, 32 products
  int8_avx512_vnni,  ///< VPDPBUSD, 64 products
  bf16_amx,          ///< TDPBF16PS, 16 x 16 x 32 products
  int8_amx,          ///< TDPBSSD, 16 x 16 x 64 products
};

/// Whether this CPU and its kernel can run it (AMX: the kernel is asked for the tile state). Local.
bool can_run(MultiplyAdd kind);

/// Runs `rounds` (> 0) rounds of 4 to 18 independent instructions on registers alone and returns the operations
/// done, two for each product. The caller has checked can_run(kind). Local.
std::int64_t multiply_and_add(MultiplyAdd kind, std::int64_t rounds);

/// Reads `bytes` bytes (a multiple of 512, 64-byte aligned) once with the widest loads the CPU has and returns the
/// exclusive or of what was there, which keeps the compiler from leaving reads out. Local.
std::uint64_t read_once(std::byte const* data, std::size_t bytes);

}  // namespace windlass::x86
