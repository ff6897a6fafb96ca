#include "kernels/x86/levels.hpp"

namespace windlass::x86 {

namespace avx2 {
extern Operations const operations;
}
namespace avx512 {
extern Operations const operations;
}
namespace avx512_bf16 {
extern Operations const operations;
}

std::vector<Operations const*> runnable_levels() {
  std::vector<Operations const*> levels;
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c"))
    return levels;
  levels.push_back(&avx2::operations);
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512dq") || !__builtin_cpu_supports("avx512vl") ||
      !__builtin_cpu_supports("avx512vnni"))
    return levels;
  levels.push_back(&avx512::operations);
  if (__builtin_cpu_supports("avx512bf16")) levels.push_back(&avx512_bf16::operations);
  return levels;
}

}  // namespace windlass::x86
