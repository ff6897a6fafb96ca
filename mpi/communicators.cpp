#include "mpi/communicators.hpp"

#include <mpi.h>

#include <limits>

#include "mpi/communicator.hpp"
#include "mpi/mpi_error.hpp"
#include "src/core/error.hpp"

namespace windlass {

void return_errors() {
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

WorldPlace world_place() {
  WorldPlace place;
  ensure(MPI_Comm_rank(MPI_COMM_WORLD, &place.world_rank) == MPI_SUCCESS, "MPI_Comm_rank failed");
  ensure(MPI_Comm_size(MPI_COMM_WORLD, &place.world_ranks) == MPI_SUCCESS, "MPI_Comm_size failed");
  return place;
}

std::vector<std::vector<std::byte>> gather_from_all(std::span<std::byte const> own) {
  auto const ranks = std::size_t(world_place().world_ranks);
  ensure(own.size() <= std::size_t(std::numeric_limits<int>::max()) / ranks, "too many bytes to gather from all ranks");
  int const own_bytes = int(own.size());
  std::vector<int> sizes(ranks), offsets(ranks);
  check_mpi(MPI_Allgather(&own_bytes, 1, MPI_INT, sizes.data(), 1, MPI_INT, MPI_COMM_WORLD), "MPI_Allgather");
  for (std::size_t rank = 1; rank < ranks; ++rank) offsets[rank] = offsets[rank - 1] + sizes[rank - 1];
  std::vector<std::byte> all(std::size_t(offsets.back() + sizes.back()));
  check_mpi(MPI_Allgatherv(own.data(), own_bytes, MPI_BYTE, all.data(), sizes.data(), offsets.data(), MPI_BYTE,
                           MPI_COMM_WORLD),
            "MPI_Allgatherv");
  std::vector<std::vector<std::byte>> parts;
  for (std::size_t rank = 0; rank < ranks; ++rank)
    parts.emplace_back(all.begin() + offsets[rank], all.begin() + offsets[rank] + sizes[rank]);
  return parts;
}

Communicator duplicate_world() {
  MPI_Comm copy = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &copy), "MPI_Comm_dup");
  Communicator owned(copy);
  check_mpi(MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return owned;
}

namespace {

Communicator communicator_of(MPI_Comm world, std::span<int const> ranks, int tag) {
  MPI_Group everybody = MPI_GROUP_NULL, some = MPI_GROUP_NULL;
  check_mpi(MPI_Comm_group(world, &everybody), "MPI_Comm_group");
  int code = MPI_Group_incl(everybody, int(ranks.size()), ranks.data(), &some);
  MPI_Comm made = MPI_COMM_NULL;
  if (code == MPI_SUCCESS) code = MPI_Comm_create_group(world, some, tag, &made);
  if (some != MPI_GROUP_NULL) MPI_Group_free(&some);
  MPI_Group_free(&everybody);
  check_mpi(code, "MPI_Comm_create_group");
  Communicator owned(made);
  check_mpi(MPI_Comm_set_errhandler(made, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return owned;
}

}  // namespace

Communicator group_communicator(std::vector<int> const& world_ranks, int tag) {
  return communicator_of(MPI_COMM_WORLD, world_ranks, tag);
}

Communicator pair_communicator(Communicator const& world, RankPair pair, int tag) {
  int const ranks[] = {pair.first, pair.second};
  return communicator_of(world.get(), ranks, tag);
}

Communicator host_communicator(Communicator const& world, Taking taking) {
  MPI_Comm chosen = MPI_COMM_NULL, host = MPI_COMM_NULL;
  int const color = taking == Taking::part ? 0 : MPI_UNDEFINED;
  check_mpi(MPI_Comm_split(world.get(), color, 0, &chosen), "MPI_Comm_split");
  if (chosen == MPI_COMM_NULL) return Communicator(MPI_COMM_NULL);
  Communicator const owned(chosen);
  check_mpi(MPI_Comm_split_type(chosen, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host), "MPI_Comm_split_type");
  Communicator own_host(host);
  check_mpi(MPI_Comm_set_errhandler(host, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return own_host;
}

}  // namespace windlass
