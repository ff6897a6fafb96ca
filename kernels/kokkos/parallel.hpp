/// The one form of parallel loop of this backend.
#pragma once

#include <Kokkos_Core.hpp>
#include <cstdint>

namespace windlass::kokkos {

using Space = Kokkos::DefaultHostExecutionSpace;

/// work(i) for i in [0, count), each once, on whichever thread; returns when all are done. One call computes its
/// outputs alone and in a fixed order, so results do not depend on the space.
template <class Work>
void for_each(char const* label, std::int64_t count, Work const& work) {
  if (count <= 0) return;
  Space const space;
  Kokkos::parallel_for(label, Kokkos::RangePolicy<Space, Kokkos::IndexType<std::int64_t>>(space, 0, count), work);
  space.fence();
}

}  // namespace windlass::kokkos
