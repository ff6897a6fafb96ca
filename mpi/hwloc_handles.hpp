/// Owners of hwloc's objects. Only sources in mpi/ include it.
#pragma once

#include <hwloc.h>

#include <memory>

namespace windlass {

struct HwlocDestroy {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
  void operator()(hwloc_bitmap_t bitmap) const { hwloc_bitmap_free(bitmap); }
};
using HwlocTopology = std::unique_ptr<hwloc_topology, HwlocDestroy>;
using HwlocBitmap = std::unique_ptr<hwloc_bitmap_s, HwlocDestroy>;

}  // namespace windlass
