/// The one form of parallel loop of this backend.
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

#include "kernels/queue.hpp"

namespace windlass::kokkos {

using Space = Kokkos::DefaultHostExecutionSpace;

/// Starts Kokkos with `threads` threads, unless it runs already; the end of the program finishes it.
void start(int threads);

/// work(i) for i in [0, count), each once, on whichever thread; returns when all are done. One call computes its
/// outputs alone and in a fixed order, so results do not depend on the space. The first call starts Kokkos with as many
/// threads as the queue's team has; they stay as many.
template <class Work>
void for_each(Queue const& queue, char const* label, std::int64_t count, Work const& work) {
  if (count <= 0) return;
  start(queue.team->size());
  Space const space;
  Kokkos::parallel_for(label, Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t>>(space, 0, count), work);
  space.fence();
}

}  // namespace windlass::kokkos
