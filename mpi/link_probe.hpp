/// What MPI itself moves between two ranks: the limit that KV transports are measured against.
#pragma once

#include <cstddef>
#include <span>

namespace windlass {

struct LinkProbe {
  int from_rank = 0, to_rank = 1;
  std::size_t message_bytes = std::size_t{4} << 20;
  int messages = 64;  ///< sent with at most 16 under way, each from and to memory of its own
};

/// Gigabytes per second of plain MPI_Isend and MPI_Irecv; the best of five. `memory`: messages * message_bytes on both
/// ranks. Collective over the job; call it while no other thread uses MPI. 0 on ranks that take no part.
double measure_link_gb_per_s(LinkProbe const& probe, std::span<std::byte> memory);

}  // namespace windlass
