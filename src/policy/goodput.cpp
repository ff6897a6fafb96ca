#include "src/policy/goodput.hpp"

namespace windlass {

GoodputPlan plan_goodput(GoodputInput const& in) {
  double low = in.low_rate, high = in.high_rate;
  int trials = 0, met = 0;
  while (high - low > in.tolerance) {
    double const rate = (low + high) / 2;
    ++trials;
    if (in.meets(rate)) {
      low = rate;
      ++met;
    } else {
      high = rate;
    }
  }
  GoodputStop const stop = met == 0        ? GoodputStop::nothing_met
                           : met == trials ? GoodputStop::everything_met
                                           : GoodputStop::found;
  return {.rate = low, .trials = trials, .stop = stop};
}

}  // namespace windlass
