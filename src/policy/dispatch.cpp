#include "src/policy/dispatch.hpp"

#include <algorithm>

namespace windlass {

DispatchPlan plan_dispatch(DispatchInput const& in) {
  auto const least = std::min_element(in.load.begin(), in.load.end());
  if (least == in.load.end() || *least == unavailable_load) return {.instance = 0, .stop = DispatchStop::no_instance};
  return {.instance = std::size_t(least - in.load.begin()), .stop = DispatchStop::chosen};
}

}  // namespace windlass
