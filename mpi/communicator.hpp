/// Owners of MPI's communicators. Only sources in mpi/ include it.
#pragma once

#include <mpi.h>

#include <utility>
#include <vector>

namespace windlass {

/// Freed at the end, unless abandon() was called: a communicator with a dead rank is never freed.
class Communicator {
 public:
  explicit Communicator(MPI_Comm communicator) : communicator_(communicator) {}
  ~Communicator() {
    if (communicator_ != MPI_COMM_NULL) MPI_Comm_free(&communicator_);
  }
  Communicator(Communicator&& other) noexcept : communicator_(std::exchange(other.communicator_, MPI_COMM_NULL)) {}
  Communicator& operator=(Communicator&& other) noexcept {
    std::swap(communicator_, other.communicator_);
    return *this;
  }

  MPI_Comm get() const { return communicator_; }
  void abandon() { communicator_ = MPI_COMM_NULL; }

 private:
  MPI_Comm communicator_;
};

/// A copy of the world communicator that returns errors. Collective over the job; at its start.
Communicator duplicate_world();

/// Collective over the communicator: sleeps until all its ranks have come, an hour at most. For the start of a job.
void meet(Communicator const& communicator);

/// The communicator of some ranks of the job, in that order; collective over these alone, before the courier starts.
Communicator group_communicator(std::vector<int> const& world_ranks, int tag);

/// The communicator of two ranks of `world`; collective over these two alone. The lower rank is rank 0 in it. `tag`
/// keeps groups apart that are made at the same time.
struct RankPair {
  int first = 0, second = 0;  ///< first < second
};
Communicator pair_communicator(Communicator const& world, RankPair pair, int tag);

/// The ranks of this rank's host that call it. Collective over `world`; ranks that take no part give `Taking::no_part`
/// and get a null communicator.
enum class Taking : bool { no_part, part };
Communicator host_communicator(Communicator const& world, Taking taking);

}  // namespace windlass
