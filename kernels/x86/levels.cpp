#include "kernels/x86/levels.hpp"

#include "kernels/x86/limits.hpp"

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
namespace amx {
Operations make_operations();
}
namespace amx_emulated {
Operations make_operations();
}

namespace {

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512vnni");
}

}  // namespace

std::vector<Operations const*> runnable_levels() {
  std::vector<Operations const*> levels;
  __builtin_cpu_init();
  if (has_avx2()) levels.push_back(&avx2::operations);
  if (!has_avx512()) return levels;
  levels.push_back(&avx512::operations);
  if (!__builtin_cpu_supports("avx512bf16")) return levels;
  levels.push_back(&avx512_bf16::operations);
  if (!can_run(MultiplyAdd::int8_amx)) return levels;
  static Operations const amx_operations = amx::make_operations();
  levels.push_back(&amx_operations);
  return levels;
}

Operations const* emulated_tiles() {
  __builtin_cpu_init();
  static Operations const operations = amx_emulated::make_operations();
  return has_avx512() ? &operations : nullptr;
}

}  // namespace windlass::x86
