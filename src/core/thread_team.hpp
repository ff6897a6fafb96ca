/// A persistent team of pinned threads that runs one function at a time on all of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

namespace windlass {

struct ThreadTeamConfig {
  int threads = 1;        ///< the caller included; >= 1
  std::vector<int> cpus;  ///< operating-system cpu of each thread; empty: not pinned. The caller is pinned too.
  int spin_us = 20;       ///< how long a waiting thread spins before it sleeps (futex)
};

/// Local. One caller at a time; the caller works as thread 0.
class ThreadTeam {
 public:
  explicit ThreadTeam(ThreadTeamConfig const& config);
  ~ThreadTeam();
  ThreadTeam(ThreadTeam const&) = delete;
  ThreadTeam& operator=(ThreadTeam const&) = delete;

  int size() const { return int(workers_.size()) + 1; }

  /// Calls work(thread) on every thread and returns when all have returned. `work` must not throw.
  template <class Work>
  void run(Work const& work) {
    if (workers_.empty()) return work(0);
    start({.call = [](void const* w, int thread) { (*static_cast<Work const*>(w))(thread); }, .work = &work});
    work(0);
    wait();
  }

  /// Calls work(begin, end, thread) for parts of [0, count) of at most `grain` items, each item once. Each thread
  /// begins with its own share, the same in every call of one count, so that it finds in its caches what it wrote
  /// before; one that has finished its share helps the others. Results must not depend on who does what.
  template <class Work>
  void for_parts(std::int64_t count, std::int64_t grain, Work const& work) {
    if (count <= 0) return;
    if (workers_.empty() || count <= grain) return work(std::int64_t{0}, count, 0);
    std::int64_t const parts = (count + grain - 1) / grain, threads = size();
    for (std::int64_t i = 0; i < threads; ++i)
      shares_[std::size_t(i)].next.store(parts * i / threads, std::memory_order_relaxed);
    run([&](int thread) {
      for (std::int64_t i = 0; i < threads; ++i) {
        std::int64_t const share = (thread + i) % threads, end = parts * (share + 1) / threads;
        std::atomic<std::int64_t>& next = shares_[std::size_t(share)].next;
        while (next.load(std::memory_order_relaxed) < end) {
          std::int64_t const part = next.fetch_add(1, std::memory_order_relaxed);
          if (part >= end) break;
          work(part * grain, part + 1 < parts ? (part + 1) * grain : count, thread);
        }
      }
    });
  }

 private:
  struct Task {
    void (*call)(void const* work, int thread);
    void const* work;
  };
  struct alignas(64) Share {
    std::atomic<std::int64_t> next{0};  ///< first part of the share that is not handed out
  };
  void start(Task task);
  void wait();
  void worker_loop(int thread);

  int spin_us_;
  Task task_{};
  alignas(64) std::atomic<std::uint32_t> epoch_{0};    ///< counts tasks; workers wait for it to move
  alignas(64) std::atomic<std::uint32_t> pending_{0};  ///< workers that have not finished the task
  std::vector<Share> shares_;                          ///< [threads], of for_parts
  std::atomic<std::uint32_t> sleepers_{0};
  std::atomic<bool> caller_sleeps_{false};
  bool stop_ = false;
  std::vector<std::jthread> workers_;
};

/// Pins the calling thread to one operating-system cpu. Returns false where the system refuses.
bool pin_this_thread(int cpu);
/// Lets the calling thread run on these, whatever the thread that started it is pinned to; none: leaves it where it is.
bool allow_this_thread(std::span<int const> cpus);
/// Others go first where there are more threads than cpus. It cannot be taken back.
void put_this_thread_behind();

}  // namespace windlass
