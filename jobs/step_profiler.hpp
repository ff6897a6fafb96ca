/// Times the steps of a real engine at chosen sizes.
#pragma once

#include <functional>
#include <vector>

#include "jobs/engine_setup.hpp"
#include "src/sim/measured_latency.hpp"

namespace windlass {

struct ProfilePlan {
  int max_context_tokens;  ///< longest context of a decode that is measured
  int held_tokens;         ///< KV of all sequences of one measurement, at most
  int repetitions;         ///< decode steps of one size; the median counts
};

/// Runs engines of their own on the loaded model, one size after the other; `told` says what is done next. Takes
/// minutes. Throws InputError with the engine's words where a request fails.
MeasuredProfile profile_steps(EngineSetup& setup, EngineOptions const& options, ProfilePlan const& plan,
                              std::function<void(std::string const&)> const& told);

}  // namespace windlass
