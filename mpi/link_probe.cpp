#include "mpi/link_probe.hpp"

#include <mpi.h>

#include <algorithm>
#include <vector>

#include "mpi/communicator.hpp"
#include "mpi/communicators.hpp"
#include "mpi/mpi_error.hpp"
#include "src/core/clock.hpp"
#include "src/core/error.hpp"

namespace windlass {
namespace {

constexpr int rounds = 5, most_open = 16, probe_tag = 3;

void start(LinkProbe const& probe, Communicator const& link, std::span<std::byte> message, MPI_Request* request) {
  bool const sends = world_place().world_rank == probe.from_rank;
  int const bytes = int(message.size());
  check_mpi(sends ? MPI_Isend(message.data(), bytes, MPI_BYTE, probe.to_rank, probe_tag, link.get(), request)
                  : MPI_Irecv(message.data(), bytes, MPI_BYTE, probe.from_rank, probe_tag, link.get(), request),
            "link probe");
}

void run_round(LinkProbe const& probe, Communicator const& link, std::span<std::byte> memory) {
  for (int first = 0; first < probe.messages; first += most_open) {
    int const count = std::min(most_open, probe.messages - first);
    std::vector<MPI_Request> requests(std::size_t(count), MPI_REQUEST_NULL);
    for (int i = 0; i < count; ++i)
      start(probe, link, memory.subspan(std::size_t(first + i) * probe.message_bytes, probe.message_bytes),
            &requests[std::size_t(i)]);
    check_mpi(MPI_Waitall(count, requests.data(), MPI_STATUSES_IGNORE), "MPI_Waitall");
  }
}

}  // namespace

double measure_link_gb_per_s(LinkProbe const& probe, std::span<std::byte> memory) {
  int const own = world_place().world_rank;
  bool const takes_part = own == probe.from_rank || own == probe.to_rank;
  ensure(!takes_part || memory.size() >= probe.message_bytes * std::size_t(probe.messages),
         "the link probe has too little memory");
  Communicator const link = duplicate_world();
  double best = 0;
  for (int round = 0; round < rounds; ++round) {
    check_mpi(MPI_Barrier(link.get()), "MPI_Barrier");
    Microseconds const begin = now_us();
    if (takes_part) run_round(probe, link, memory);
    check_mpi(MPI_Barrier(link.get()), "MPI_Barrier");
    double const bytes = double(probe.message_bytes) * probe.messages;
    best = std::max(best, bytes / double(now_us() - begin) * 1e-3);
  }
  return takes_part ? best : 0;
}

}  // namespace windlass
