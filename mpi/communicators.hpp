/// The communicators of the job. Only this pair of files names MPI_COMM_WORLD.
#pragma once

namespace windlass {

struct WorldPlace {
  int world_rank = 0;
  int world_ranks = 1;
};

/// This process's place among all ranks. Local; MPI must be initialised.
WorldPlace world_place();

}  // namespace windlass
