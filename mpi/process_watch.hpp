/// Learns at once when a rank of the same machine, or the launcher, ends: the kernel tells (pidfd), not MPI.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace windlass {

class MpiJob;

/// What ended.
struct ProcessEnd {
  static constexpr int launcher = -1;  ///< this process's parent: mpirun, its daemon, or Slurm's
  int world_rank = launcher;
};

/// Ranks on other machines, and on kernels without pidfds (before Linux 5.3), are not seen: they are judged by their
/// silence alone.
class ProcessWatch {
 public:
  /// Called on the watch's thread, once for each process that ends.
  using OnEnd = std::function<void(ProcessEnd)>;

  /// Collective over the job, right after MPI_Init. Without MPI it watches nobody.
  ProcessWatch(MpiJob const& job, OnEnd on_end);
  /// Before MPI_Finalize: whoever ends behind that has not died.
  ~ProcessWatch();
  ProcessWatch(ProcessWatch const&) = delete;
  ProcessWatch& operator=(ProcessWatch const&) = delete;

  /// From now on another function is called; when this returns, the old one is not, and will not be, running.
  void on_end(OnEnd next);
  bool sees(int world_rank) const;
  /// SIGKILL: it can write nowhere any more once its end is told. False where the rank is not seen.
  bool kill(int world_rank) const;

 private:
  struct Watched {
    int world_rank = 0;
    int descriptor = -1;  // of the pidfd
  };
  void add(int world_rank, int process);
  void watch();

  std::vector<Watched> watched_;
  int stop_ = -1;  // eventfd
  std::mutex mutex_;
  OnEnd on_end_;  // under mutex_
  std::thread thread_;
};

}  // namespace windlass
