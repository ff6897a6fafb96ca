#include "kernels/memory.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "src/core/error.hpp"

namespace windlass {
namespace {

/// Address space is not memory: NORESERVE, and pages come, zeroed, on first write.
std::shared_ptr<std::byte> allocate(std::size_t bytes, MemoryUse use) {
  void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw FileError("memory", "reserve space for weights, KV pages or buffers", errno);
  bool const is_large = use == MemoryUse::weights || use == MemoryUse::pages;
  if (is_large) madvise(at, bytes, MADV_HUGEPAGE);  // a wish: it works without huge pages, only slower
  return {static_cast<std::byte*>(at), [bytes](std::byte* memory) { munmap(memory, bytes); }};
}

void zero(std::span<std::byte> bytes) { std::memset(bytes.data(), 0, bytes.size()); }

void copy(std::span<std::byte> to, std::byte const* from) { std::memcpy(to.data(), from, to.size()); }

}  // namespace

Memory const host_memory{.space = MemorySpace::host,
                         .allocate = allocate,
                         .zero = zero,
                         .copy = copy,
                         .settle = [](std::span<std::byte const>) {},
                         .wait = [](Queue const&) {},
                         .free_bytes = nullptr};

}  // namespace windlass
