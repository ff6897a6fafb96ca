/// The communicators of the job. Only this pair of files names MPI_COMM_WORLD.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace windlass {

struct WorldPlace {
  int world_rank = 0;
  int world_ranks = 1;
};

/// Makes failing calls on the world communicator return their error instead of ending the job. Local.
void return_errors();

/// This process's place among all ranks. Local; MPI must be initialised.
WorldPlace world_place();

/// Collective over the job: [world ranks] what each rank gave; sleeps until the last one has. For the start of a job
/// alone. Throws MpiError, and InputError where a rank has not come within an hour.
std::vector<std::vector<std::byte>> gather_from_all(std::span<std::byte const> own);

}  // namespace windlass
