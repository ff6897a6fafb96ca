#include "mpi/communicators.hpp"

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>

#include "mpi/communicator.hpp"
#include "mpi/mpi_error.hpp"
#include "src/core/error.hpp"
#include "src/core/text.hpp"

namespace windlass {
namespace {

using std::chrono::microseconds;

constexpr std::chrono::minutes start_deadline(60);  ///< the slowest rank may load a large model from a slow disk
constexpr microseconds shortest_sleep(20), longest_sleep(2'000);

/// MPI's own wait would take a core, and on a host with more ranks than cores it would take it from those that load.
void wait_asleep(MPI_Request& request, char const* call) {
  auto const end = std::chrono::steady_clock::now() + start_deadline;
  microseconds sleep = shortest_sleep;
  for (int done = 0;;) {
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), call);
    if (done) return;
    if (std::chrono::steady_clock::now() >= end)
      throw InputError(text("other ranks have not come to ", call, " of the job's start for ", start_deadline.count(),
                            " minutes: one of them has died or hangs; start the job again"));
    std::this_thread::sleep_for(sleep);
    sleep = std::min(sleep * 2, longest_sleep);
  }
}

}  // namespace

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
  MPI_Request gathering = MPI_REQUEST_NULL;
  check_mpi(MPI_Iallgather(&own_bytes, 1, MPI_INT, sizes.data(), 1, MPI_INT, MPI_COMM_WORLD, &gathering),
            "MPI_Iallgather");
  wait_asleep(gathering, "MPI_Iallgather");
  for (std::size_t rank = 1; rank < ranks; ++rank) offsets[rank] = offsets[rank - 1] + sizes[rank - 1];
  std::vector<std::byte> all(std::size_t(offsets.back() + sizes.back()));
  check_mpi(MPI_Iallgatherv(own.data(), own_bytes, MPI_BYTE, all.data(), sizes.data(), offsets.data(), MPI_BYTE,
                            MPI_COMM_WORLD, &gathering),
            "MPI_Iallgatherv");
  wait_asleep(gathering, "MPI_Iallgatherv");
  std::vector<std::vector<std::byte>> parts;
  for (std::size_t rank = 0; rank < ranks; ++rank)
    parts.emplace_back(all.begin() + offsets[rank], all.begin() + offsets[rank] + sizes[rank]);
  return parts;
}

void meet(Communicator const& communicator) {
  MPI_Request meeting = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(communicator.get(), &meeting), "MPI_Ibarrier");
  wait_asleep(meeting, "MPI_Ibarrier");
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
