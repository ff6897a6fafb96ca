#include "kernels/cuda/emulated/backend.hpp"

#include "kernels/cuda/table.hpp"

namespace windlass::cuda_emulated {

Operations const& backend() {
  static Operations const operations = [] {
    Operations made = table();
    made.name = "cuda_emulated";
    return made;
  }();
  return operations;
}

}  // namespace windlass::cuda_emulated
