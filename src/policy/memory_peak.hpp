/// Whether more sequences may start although all of them still grow (LoongServe's memory test).
#pragma once

#include <cstdint>
#include <span>

namespace windlass {

struct GrowingSequence {
  std::int64_t used_tokens;       ///< KV it holds now, or will after its prefill
  std::int64_t remaining_tokens;  ///< that it may still generate, predicted
};

struct MemoryPeakInput {
  std::span<GrowingSequence const> sequences;  ///< running, chosen and the candidate
  std::int64_t capacity_tokens;                ///< less what paused sequences hold
};

enum class MemoryPeakStop : std::uint8_t { fits, would_exceed };

struct MemoryPeakPlan {
  std::int64_t peak_tokens;  ///< the most that is held at any time, if all generate as predicted
  MemoryPeakStop stop;
};

/// Sequences end by ascending remainder; when the k-th longest ends, k sequences have grown by its remainder.
/// Local, pure, no errors. Source: LoongServe (SOSP'24), section 5.1.
MemoryPeakPlan plan_memory_peak(MemoryPeakInput const& in);

}  // namespace windlass
