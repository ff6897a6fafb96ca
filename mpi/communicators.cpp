#include "mpi/communicators.hpp"

#include <mpi.h>

#include "src/core/error.hpp"

namespace windlass {

WorldPlace world_place() {
  WorldPlace place;
  ensure(MPI_Comm_rank(MPI_COMM_WORLD, &place.world_rank) == MPI_SUCCESS, "MPI_Comm_rank failed");
  ensure(MPI_Comm_size(MPI_COMM_WORLD, &place.world_ranks) == MPI_SUCCESS, "MPI_Comm_size failed");
  return place;
}

}  // namespace windlass
