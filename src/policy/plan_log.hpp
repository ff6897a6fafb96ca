/// Where a running job writes what it asked its policies and what they answered, to be run again and compared.
#pragma once

#include "src/policy/dispatch.hpp"
#include "src/policy/failure_detector.hpp"
#include "src/policy/step_batching.hpp"

namespace windlass {

/// Called by the threads that plan, possibly at the same time.
class PlanLog {
 public:
  virtual ~PlanLog() = default;
  virtual void add(StepBatchingInput const& in, StepBatchingPlan const& plan) = 0;
  virtual void add(DispatchInput const& in, DispatchPlan const& plan) = 0;
  virtual void add(FailureInput const& in, FailurePlan const& plan) = 0;
};

}  // namespace windlass
