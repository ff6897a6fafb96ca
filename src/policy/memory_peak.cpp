#include "src/policy/memory_peak.hpp"

#include <algorithm>
#include <vector>

namespace windlass {

MemoryPeakPlan plan_memory_peak(MemoryPeakInput const& in) {
  std::vector<GrowingSequence> longest_first(in.sequences.begin(), in.sequences.end());
  std::stable_sort(longest_first.begin(), longest_first.end(), [](GrowingSequence const& a, GrowingSequence const& b) {
    return a.remaining_tokens > b.remaining_tokens;
  });
  std::int64_t used = 0, count = 0, peak = 0;
  for (GrowingSequence const& sequence : longest_first) {
    used += sequence.used_tokens;
    peak = std::max(peak, sequence.remaining_tokens * ++count + used);
  }
  return {.peak_tokens = peak,
          .stop = peak <= in.capacity_tokens ? MemoryPeakStop::fits : MemoryPeakStop::would_exceed};
}

}  // namespace windlass
