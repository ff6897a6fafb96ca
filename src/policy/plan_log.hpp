/// Where a running job writes what it asked its policies and what they answered, to be run again and compared.
#pragma once

#include "src/policy/deadline.hpp"
#include "src/policy/dispatch.hpp"
#include "src/policy/failure_detector.hpp"
#include "src/policy/fair_turn.hpp"
#include "src/policy/layout_plan.hpp"
#include "src/policy/step_batching.hpp"
#include "src/policy/walltime.hpp"

namespace windlass {

using WaitingUsers = std::span<WaitingUser const>;
using FairTurn = std::optional<std::size_t>;

/// Every policy that a job asks. Called by the threads that plan, possibly at the same time.
class PlanLog {
 public:
  virtual ~PlanLog() = default;
  virtual void add(StepBatchingInput const& in, StepBatchingPlan const& plan) = 0;
  virtual void add(DispatchInput const& in, DispatchPlan const& plan) = 0;
  virtual void add(FailureInput const& in, FailurePlan const& plan) = 0;
  virtual void add(LayoutInput const& in, LayoutPlan const& plan) = 0;
  virtual void add(WalltimeInput const& in, WalltimePlan const& plan) = 0;
  virtual void add(SaveInput const& in, SavePlan const& plan) = 0;
  virtual void add(RequeueInput const& in, RequeueChoice const& choice) = 0;
  virtual void add(WaitingUsers const& users, FairTurn const& turn) = 0;
  virtual void add(DeadlineInput const& in, DeadlinePlan const& plan) = 0;
};

}  // namespace windlass
