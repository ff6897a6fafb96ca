// The loops are written as instructions, since a compiler is free to spill, fuse or drop what has no visible use.
// Sixteen accumulators cover the latency of two multiply-add units (4 to 5 cycles each) with room to spare.
#include "kernels/x86/limits.hpp"

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

namespace windlass::x86 {
namespace {

struct Leaf7 {
  unsigned ecx_0 = 0, edx_0 = 0, eax_1 = 0;
};

Leaf7 leaf_7() {
  Leaf7 leaf;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) leaf.ecx_0 = ecx, leaf.edx_0 = edx;
  if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) leaf.eax_1 = eax;
  return leaf;
}

bool bit(unsigned word, int index) { return word >> index & 1; }

/// Linux gives a process the AMX tile registers only on request (arch_prctl ARCH_REQ_XCOMP_PERM, component 18).
bool has_tiles() {
  constexpr int request_permission = 0x1023, tile_data = 18;
  return bit(leaf_7().edx_0, 24) && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

#define WINDLASS_SIXTEEN(OP, SUFFIX)                                                                                \
  OP("0")                                                                                                           \
  SUFFIX OP("1") SUFFIX OP("2") SUFFIX OP("3") SUFFIX OP("4") SUFFIX OP("5") SUFFIX OP("6") SUFFIX OP("7")          \
      SUFFIX OP("8") SUFFIX OP("9") SUFFIX OP("10") SUFFIX OP("11") SUFFIX OP("12") SUFFIX OP("13") SUFFIX OP("14") \
          SUFFIX OP("15") SUFFIX

#define WINDLASS_CLOBBERS                                                                                             \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", \
      "xmm14", "xmm15", "cc"

// zmm16 and zmm17 are the factors; zeros multiply as fast as any number and never overflow.
#define WINDLASS_ZMM_LOOP(INSTRUCTION)                                           \
  do {                                                                           \
    asm volatile(                                                                \
        "vpxord %%zmm16, %%zmm16, %%zmm16\n\tvpxord %%zmm17, %%zmm17, %%zmm17\n" \
        "1:\n\t" INSTRUCTION "dec %0\n\tjnz 1b\n\t"                              \
        : "+r"(rounds)                                                           \
        :                                                                        \
        : WINDLASS_CLOBBERS, "xmm16", "xmm17");                                  \
  } while (0)
#define WINDLASS_FMA_512(N) "vfmadd231ps %%zmm16, %%zmm17, %%zmm" N
#define WINDLASS_DPBF16_512(N) "vdpbf16ps %%zmm16, %%zmm17, %%zmm" N
#define WINDLASS_DPBUSD_512(N) "vpdpbusd %%zmm16, %%zmm17, %%zmm" N

__attribute__((target("avx512f"))) void fma_512(std::int64_t rounds) {
  WINDLASS_ZMM_LOOP(WINDLASS_SIXTEEN(WINDLASS_FMA_512, "\n\t"));
}
__attribute__((target("avx512f"))) void dpbf16_512(std::int64_t rounds) {
  WINDLASS_ZMM_LOOP(WINDLASS_SIXTEEN(WINDLASS_DPBF16_512, "\n\t"));
}
__attribute__((target("avx512f"))) void dpbusd_512(std::int64_t rounds) {
  WINDLASS_ZMM_LOOP(WINDLASS_SIXTEEN(WINDLASS_DPBUSD_512, "\n\t"));
}

// AVX2 has sixteen registers: thirteen accumulators or temporaries, ymm13 to ymm15 as factors.
#define WINDLASS_YMM_LOOP(BODY)                                                                                   \
  do {                                                                                                            \
    asm volatile(                                                                                                 \
        "vpxor %%ymm13, %%ymm13, %%ymm13\n\tvpxor %%ymm14, %%ymm14, %%ymm14\n\tvpxor %%ymm15, %%ymm15, %%ymm15\n" \
        "1:\n\t" BODY "dec %0\n\tjnz 1b\n\tvzeroupper\n\t"                                                        \
        : "+r"(rounds)                                                                                            \
        :                                                                                                         \
        : WINDLASS_CLOBBERS);                                                                                     \
  } while (0)
#define WINDLASS_TWELVE(OP) \
  OP("0") OP("1") OP("2") OP("3") OP("4") OP("5") OP("6") OP("7") OP("8") OP("9") OP("10") OP("11")
#define WINDLASS_FMA_256(N) "vfmadd231ps %%ymm14, %%ymm15, %%ymm" N "\n\t"
#define WINDLASS_DPBUSD_256(N) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" N "\n\t"
#define WINDLASS_MADDUBS_256(N, TEMPORARY)                \
  "vpmaddubsw %%ymm14, %%ymm15, %%ymm" TEMPORARY          \
  "\n\t"                                                  \
  "vpmaddwd %%ymm" TEMPORARY ", %%ymm13, %%ymm" TEMPORARY \
  "\n\t"                                                  \
  "vpaddd %%ymm" TEMPORARY ", %%ymm" N ", %%ymm" N "\n\t"

__attribute__((target("avx2"))) void fma_256(std::int64_t rounds) {
  WINDLASS_YMM_LOOP(WINDLASS_TWELVE(WINDLASS_FMA_256));
}
__attribute__((target("avx2"))) void dpbusd_256(std::int64_t rounds) {
  WINDLASS_YMM_LOOP(WINDLASS_TWELVE(WINDLASS_DPBUSD_256));
}
__attribute__((target("avx2"))) void maddubs_256(std::int64_t rounds) {
  WINDLASS_YMM_LOOP(WINDLASS_MADDUBS_256("0", "6") WINDLASS_MADDUBS_256("1", "7") WINDLASS_MADDUBS_256("2", "8")
                        WINDLASS_MADDUBS_256("3", "9") WINDLASS_MADDUBS_256("4", "10") WINDLASS_MADDUBS_256("5", "11"));
}

/// The operand of LDTILECFG: eight tiles of 16 rows of 64 bytes.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

#define WINDLASS_TILE_LOOP(INSTRUCTION)                                                                          \
  do {                                                                                                           \
    TileShapes const shapes;                                                                                     \
    asm volatile(                                                                                                \
        "ldtilecfg %1\n\ttilezero %%tmm4\n\ttilezero %%tmm5\n\ttilezero %%tmm6\n\ttilezero %%tmm7\n"             \
        "1:\n\t" INSTRUCTION " %%tmm6, %%tmm4, %%tmm0\n\t" INSTRUCTION " %%tmm7, %%tmm4, %%tmm1\n\t" INSTRUCTION \
        " %%tmm6, %%tmm5, %%tmm2\n\t" INSTRUCTION                                                                \
        " %%tmm7, %%tmm5, %%tmm3\n\t"                                                                            \
        "dec %0\n\tjnz 1b\n\ttilerelease\n\t"                                                                    \
        : "+r"(rounds)                                                                                           \
        : "m"(shapes)                                                                                            \
        : "cc", "memory");                                                                                       \
  } while (0)

void tdpbf16(std::int64_t rounds) { WINDLASS_TILE_LOOP("tdpbf16ps"); }
void tdpbssd(std::int64_t rounds) { WINDLASS_TILE_LOOP("tdpbssd"); }

__attribute__((target("avx512f"))) std::uint64_t read_512(std::byte const* data, std::size_t bytes) {
  __m512i sums[8] = {};
  for (std::size_t at = 0; at < bytes; at += 512)
    for (std::size_t i = 0; i < 8; ++i) sums[i] = _mm512_xor_si512(sums[i], _mm512_load_si512(data + at + 64 * i));
  for (int i = 1; i < 8; ++i) sums[0] = _mm512_xor_si512(sums[0], sums[i]);
  std::uint64_t words[8];
  std::memcpy(words, &sums[0], sizeof words);
  return words[0] ^ words[1] ^ words[2] ^ words[3] ^ words[4] ^ words[5] ^ words[6] ^ words[7];
}

__attribute__((target("avx2"))) std::uint64_t read_256(std::byte const* data, std::size_t bytes) {
  __m256i sums[8] = {};
  for (std::size_t at = 0; at < bytes; at += 256)
    for (std::size_t i = 0; i < 8; ++i)
      sums[i] = _mm256_xor_si256(sums[i], _mm256_load_si256(reinterpret_cast<__m256i const*>(data + at + 32 * i)));
  for (int i = 1; i < 8; ++i) sums[0] = _mm256_xor_si256(sums[0], sums[i]);
  std::uint64_t words[4];
  std::memcpy(words, &sums[0], sizeof words);
  return words[0] ^ words[1] ^ words[2] ^ words[3];
}

std::uint64_t read_words(std::byte const* data, std::size_t bytes) {
  std::uint64_t sums[8] = {}, words[8];
  for (std::size_t at = 0; at < bytes; at += sizeof words) {
    std::memcpy(words, data + at, sizeof words);
    for (int i = 0; i < 8; ++i) sums[i] ^= words[i];
  }
  for (int i = 1; i < 8; ++i) sums[0] ^= sums[i];
  return sums[0];
}

}  // namespace

bool can_run(MultiplyAdd kind) {
  bool const avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool const avx512 = __builtin_cpu_supports("avx512f");
  switch (kind) {
    case MultiplyAdd::fp32_avx2:
    case MultiplyAdd::int8_avx2:
      return avx2;
    case MultiplyAdd::fp32_avx512:
      return avx512;
    case MultiplyAdd::bf16_avx512:
      return avx512 && bit(leaf_7().eax_1, 5);
    case MultiplyAdd::int8_avx_vnni:
      return avx2 && bit(leaf_7().eax_1, 4);
    case MultiplyAdd::int8_avx512_vnni:
      return avx512 && bit(leaf_7().ecx_0, 11);
    case MultiplyAdd::bf16_amx:
      return bit(leaf_7().edx_0, 22) && has_tiles();
    case MultiplyAdd::int8_amx:
      return bit(leaf_7().edx_0, 25) && has_tiles();
  }
  return false;
}

std::int64_t multiply_and_add(MultiplyAdd kind, std::int64_t rounds) {
  switch (kind) {
    case MultiplyAdd::fp32_avx2:
      return fma_256(rounds), rounds * 12 * 8 * 2;
    case MultiplyAdd::fp32_avx512:
      return fma_512(rounds), rounds * 16 * 16 * 2;
    case MultiplyAdd::bf16_avx512:
      return dpbf16_512(rounds), rounds * 16 * 32 * 2;
    case MultiplyAdd::int8_avx2:
      return maddubs_256(rounds), rounds * 6 * 32 * 2;
    case MultiplyAdd::int8_avx_vnni:
      return dpbusd_256(rounds), rounds * 12 * 32 * 2;
    case MultiplyAdd::int8_avx512_vnni:
      return dpbusd_512(rounds), rounds * 16 * 64 * 2;
    case MultiplyAdd::bf16_amx:
      return tdpbf16(rounds), rounds * 4 * 16 * 16 * 32 * 2;
    case MultiplyAdd::int8_amx:
      return tdpbssd(rounds), rounds * 4 * 16 * 16 * 64 * 2;
  }
  return 0;
}

std::uint64_t read_once(std::byte const* data, std::size_t bytes) {
  if (__builtin_cpu_supports("avx512f")) return read_512(data, bytes);
  if (__builtin_cpu_supports("avx2")) return read_256(data, bytes);
  return read_words(data, bytes);
}

}  // namespace windlass::x86
