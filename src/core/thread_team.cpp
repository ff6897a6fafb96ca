#include "src/core/thread_team.hpp"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "src/core/clock.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
}

void futex_wake_all(std::atomic<std::uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT32_MAX, nullptr, nullptr, 0);
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Spins until done() or until `spin_us` have passed; true if done.
template <class Done>
bool spin(Done const& done, int spin_us) {
  Microseconds const end = now_us() + spin_us;
  do {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      relax();
    }
  } while (now_us() < end);
  return done();
}

}  // namespace

bool pin_this_thread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

bool allow_this_thread(std::span<int const> cpus) {
  if (cpus.empty()) return true;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int const cpu : cpus) CPU_SET(cpu, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

void put_this_thread_behind() {
  constexpr int niceness = 10;                                     // a tenth of the others' share
  setpriority(PRIO_PROCESS, id_t(syscall(SYS_gettid)), niceness);  // a hint: where it is refused, nothing is lost
}

ThreadTeam::ThreadTeam(ThreadTeamConfig const& config)
    : spin_us_(config.spin_us), shares_(std::size_t(std::max(config.threads, 1))) {
  ensure(config.threads >= 1, "a thread team needs at least one thread");
  ensure(config.cpus.empty() || int(config.cpus.size()) >= config.threads, "a thread team needs one cpu per thread");
  if (!config.cpus.empty()) pin_this_thread(config.cpus[0]);
  for (int thread = 1; thread < config.threads; ++thread) {
    int const cpu = config.cpus.empty() ? -1 : config.cpus[std::size_t(thread)];
    workers_.emplace_back([this, thread, cpu] {
      if (cpu >= 0) pin_this_thread(cpu);
      worker_loop(thread);
    });
  }
}

ThreadTeam::~ThreadTeam() {
  stop_ = true;
  if (!workers_.empty()) start({.call = [](void const*, int) {}, .work = nullptr});
}

void ThreadTeam::start(Task task) {
  task_ = task;
  pending_.store(std::uint32_t(workers_.size()), std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) futex_wake_all(epoch_);
}

void ThreadTeam::wait() {
  if (spin([&] { return pending_.load(std::memory_order_acquire) == 0; }, spin_us_)) return;
  caller_sleeps_.store(true, std::memory_order_seq_cst);
  for (std::uint32_t left; (left = pending_.load(std::memory_order_seq_cst)) != 0;) futex_wait(pending_, left);
  caller_sleeps_.store(false, std::memory_order_relaxed);
}

void ThreadTeam::worker_loop(int thread) {
  std::uint32_t seen = 0;
  for (;;) {
    if (!spin([&] { return epoch_.load(std::memory_order_acquire) != seen; }, spin_us_)) {
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      while (epoch_.load(std::memory_order_seq_cst) == seen) futex_wait(epoch_, seen);
      sleepers_.fetch_sub(1, std::memory_order_relaxed);
    }
    ++seen;
    if (stop_) return;
    task_.call(task_.work, thread);
    if (pending_.fetch_sub(1, std::memory_order_seq_cst) == 1 && caller_sleeps_.load(std::memory_order_seq_cst))
      futex_wake_all(pending_);
  }
}

}  // namespace windlass
