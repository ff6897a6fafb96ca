#include "mpi/shared_counter.hpp"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace windlass {
namespace {

constexpr int spins = 300;                 ///< some 10 us
constexpr Microseconds yielding_us = 200;  ///< then other processes of this core may run at once
constexpr Microseconds no_sleep_below_us = 1;

void pause_processor() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

void sleep_while(std::atomic<std::uint32_t>& word, std::uint32_t value, Microseconds longest_us) {
  std::timespec const limit{.tv_sec = time_t(longest_us / 1'000'000), .tv_nsec = long(longest_us % 1'000'000 * 1000)};
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT, value, &limit, nullptr, 0);
}

}  // namespace

void SharedCounter::raise_to(std::uint32_t value) {
  value_.store(value, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0)
    ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&value_), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

bool SharedCounter::wait_for(std::uint32_t value, Microseconds patience_us) {
  for (int i = 0; i < spins; ++i) {
    if (reached(value)) return true;
    pause_processor();
  }
  Microseconds const start = now_us();
  Microseconds waited = 0;
  while (!reached(value) && waited < patience_us) {
    if (waited < yielding_us) {
      ::sched_yield();
    } else {
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      std::uint32_t const seen = value_.load(std::memory_order_seq_cst);
      Microseconds const left = patience_us - waited;
      if (std::int32_t(seen - value) < 0 && left >= no_sleep_below_us) sleep_while(value_, seen, left);
      sleepers_.fetch_sub(1, std::memory_order_seq_cst);
    }
    waited = now_us() - start;
  }
  return reached(value);
}

}  // namespace windlass
