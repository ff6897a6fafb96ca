#include "kernels/slices.hpp"

#include "src/core/error.hpp"

namespace windlass {

Slices Slices::whole(int groups) { return even(groups, 1); }

Slices Slices::even(int groups, int count) {
  ensure(count >= 1 && count <= max_slices && count <= groups, "a slice is at least one group of 32");
  Slices slices{.count = count};
  for (int i = 0; i < count; ++i)
    slices.borders[std::size_t(i) + 1] = slices.borders[std::size_t(i)] + groups / count + (i < groups % count ? 1 : 0);
  return slices;
}

}  // namespace windlass
