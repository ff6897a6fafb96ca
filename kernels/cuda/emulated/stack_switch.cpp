#include "kernels/cuda/emulated/stack_switch.hpp"

#include <cstdint>

#if defined(__x86_64__)

// What a called function keeps (System V ABI) goes onto the stack that is left, and comes from the one that is entered.
// Both run with the same floating-point modes.
extern "C" void windlass_switch_stack(void** left, void* entered);
asm(R"(
.text
.p2align 4
.type windlass_switch_stack, @function
windlass_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size windlass_switch_stack, .-windlass_switch_stack
)");

namespace windlass::cuda_emulated {

void StackPlace::start(std::byte* stack, std::size_t bytes, void (*entry)()) {
  constexpr int kept_registers = 6;
  auto const end = reinterpret_cast<std::uintptr_t>(stack + bytes) / 16 * 16;
  auto* const words = reinterpret_cast<void**>(end) - kept_registers - 2;  // then the entry, then no caller
  for (int i = 0; i < kept_registers; ++i) words[i] = nullptr;
  words[kept_registers] = reinterpret_cast<void*>(entry);
  words[kept_registers + 1] = nullptr;
  top_ = words;
}

void StackPlace::switch_from(StackPlace& own) { windlass_switch_stack(&own.top_, top_); }

}  // namespace windlass::cuda_emulated

#else

namespace windlass::cuda_emulated {

void StackPlace::start(std::byte* stack, std::size_t bytes, void (*entry)()) {
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = bytes;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
}

void StackPlace::switch_from(StackPlace& own) { swapcontext(&own.context_, &context_); }

}  // namespace windlass::cuda_emulated

#endif
