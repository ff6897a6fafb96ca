/// Which waiting sequences may start: the exemplar of a policy (README.md).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "src/core/ids.hpp"

namespace windlass {

struct WaitingSequence {
  SequenceId id;
  std::uint32_t uncached_tokens;  ///< prompt tokens that must be computed
  std::uint32_t pages_needed;     ///< pages to reserve at admission
};

struct AdmissionInput {
  std::span<WaitingSequence const> waiting;  ///< oldest first
  std::uint32_t free_pages;
  std::uint32_t token_budget;  ///< prompt tokens that one step may prefill
};

enum class AdmissionStop : std::uint8_t { queue_empty, no_free_pages, budget_spent };

struct AdmissionPlan {
  std::vector<SequenceId> admitted;
  AdmissionStop stop;
};

/// First come, first served until pages or tokens run out; nobody overtakes. Local, pure, no errors.
AdmissionPlan plan_admission(AdmissionInput const& in);

}  // namespace windlass
